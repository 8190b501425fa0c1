#!/usr/bin/env python3
"""Asks the centre as a store would, with a client that is not ours: Eclipse Paho's for Python.

    STORE_SECRET=... ask_with_paho.py HOST PORT STORE SECONDS TOPIC-UP TOPIC-DOWN FILE

Logs in, subscribes, publishes the bytes of the file, and prints the first answer as hexadecimal digits.
Ends with 1 if the login or the subscription is refused, or no answer comes within so many seconds.
"""

import os
import sys
import threading

import paho.mqtt.client as mqtt


def main(host, port, store, seconds, up, down, path):
    with open(path, "rb") as file:
        message = file.read()
    done = threading.Event()
    said = {}

    def end(**what):
        # The centre may go on talking before the connection ends.
        if not done.is_set():
            said.update(what)
            done.set()

    def on_connect(client, userdata, flags, reason, properties=None):
        if reason.value >= 128:
            end(failure=f"the login was refused: {reason}")
        else:
            client.subscribe(down, qos=1)

    def on_subscribe(client, userdata, mid, reasons, properties=None):
        refused = [reason for reason in reasons if reason.value >= 128]
        if refused:
            end(failure=f"the subscription was refused: {refused[0]}")
        else:
            client.publish(up, message, qos=1)

    def on_message(client, userdata, message):
        end(answer=message.payload.hex())

    arguments = {"client_id": "paho", "protocol": mqtt.MQTTv5}
    if hasattr(mqtt, "CallbackAPIVersion"):
        arguments["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION2
    client = mqtt.Client(**arguments)
    client.username_pw_set(store, os.environ["STORE_SECRET"])
    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.connect(host, int(port))
    client.loop_start()
    done.wait(float(seconds))
    client.disconnect()
    client.loop_stop()
    if "answer" not in said:
        raise SystemExit(said.get("failure", f"no answer within {seconds} seconds"))
    print(said["answer"])


if __name__ == "__main__":
    if len(sys.argv) != 8:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
