//! The way to a printer: a socket or a device file. Nothing here waits for longer than it is told to.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use crate::config::PrinterAddress;

/// For opening a connection: a printer that is on answers in milliseconds, one that sleeps in a second or two.
const CONNECT: Duration = Duration::from_secs(5);

/// What this machine holds of what is sent, in bytes. What it holds was not taken by the printer, so it is little.
const HELD_BYTES: usize = 4 * 1024;

/// The way to a printer, open.
pub(super) trait Wire: Send {
    /// Sends the beginning of the bytes; 0 if nothing could be sent within that time.
    fn send(&mut self, bytes: &[u8], wait: Duration) -> io::Result<usize>;

    /// Receives something; 0 if nothing came within that time.
    fn receive(&mut self, buffer: &mut [u8], wait: Duration) -> io::Result<usize>;

    /// All is sent. Hears for that long whether the other side says that it lost some of it.
    fn finish(&mut self, wait: Duration) -> io::Result<()>;
}

/// Opens the way to a printer.
pub(super) fn open(address: &PrinterAddress) -> io::Result<Box<dyn Wire>> {
    match address {
        PrinterAddress::Tcp { host, port } => Ok(Box::new(TcpWire::open(host, *port)?)),
        PrinterAddress::Device(path) => Ok(Box::new(DeviceWire::open(path)?)),
    }
}

/// A printer in the network.
struct TcpWire(TcpStream);

impl TcpWire {
    fn open(host: &str, port: u16) -> io::Result<Self> {
        let mut failed = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    rustix::net::sockopt::set_socket_send_buffer_size(&stream, HELD_BYTES)?;
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    return Ok(Self(stream));
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

impl Wire for TcpWire {
    fn send(&mut self, bytes: &[u8], wait: Duration) -> io::Result<usize> {
        if ready(&self.0, PollFlags::OUT, wait)? { or_nothing(self.0.write(bytes)) } else { Ok(0) }
    }

    fn receive(&mut self, buffer: &mut [u8], wait: Duration) -> io::Result<usize> {
        if !ready(&self.0, PollFlags::IN, wait)? {
            return Ok(0);
        }
        match self.0.read(buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            read => or_nothing(read),
        }
    }

    fn finish(&mut self, wait: Duration) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)?;
        let mut ignored = [0; 64];
        if ready(&self.0, PollFlags::IN, wait)? {
            // The printer closes too, says something that nobody asked for, or resets the connection: only that is bad.
            or_nothing(self.0.read(&mut ignored))?;
        }
        Ok(())
    }
}

/// A printer behind a device file.
struct DeviceWire(File);

impl DeviceWire {
    fn open(path: &Path) -> io::Result<Self> {
        // A path that does not exist is a printer that is not plugged in; a plain file is never made in its place.
        let open = |read: bool| {
            let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
            let flags = i32::try_from(flags.bits()).map_err(|_| io::Error::from(ErrorKind::Unsupported))?;
            OpenOptions::new().read(read).append(true).custom_flags(flags).open(path)
        };
        match open(true) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => open(false).map(Self),
            opened => opened.map(Self),
        }
    }
}

impl Wire for DeviceWire {
    fn send(&mut self, bytes: &[u8], wait: Duration) -> io::Result<usize> {
        if ready(&self.0, PollFlags::OUT, wait)? { or_nothing(self.0.write(bytes)) } else { Ok(0) }
    }

    fn receive(&mut self, buffer: &mut [u8], wait: Duration) -> io::Result<usize> {
        if ready(&self.0, PollFlags::IN, wait)? { or_nothing(self.0.read(buffer)) } else { Ok(0) }
    }

    fn finish(&mut self, _wait: Duration) -> io::Result<()> {
        or_nothing(self.0.flush().map(|()| 0)).map(drop)
    }
}

/// Whether it is ready within that time, also to tell of an error.
fn ready(file: &impl AsFd, what: PollFlags, wait: Duration) -> io::Result<bool> {
    let mut polled = [PollFd::new(file, what)];
    let wait = Timespec::try_from(wait).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    match poll(&mut polled, Some(&wait)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What could not be done at this moment is nothing done.
fn or_nothing(done: io::Result<usize>) -> io::Result<usize> {
    match done {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        done => done,
    }
}
