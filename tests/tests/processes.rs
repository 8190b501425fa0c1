//! Runs of the real programs: `breakwater-server` and `breakwater-agent` as processes, the network between them through a
//! proxy that can be cut, kill -9, folders put back and copied, disks that fill up.
//!
//! The rules of these tests: wait for a condition with a deadline, never for luck; print the seed; leave the folder with the
//! logs behind when something fails and say where it is. They take turns (see `.config/nextest.toml`).

mod processes {
    mod apis;
    mod away;
    mod broker;
    mod broker_link;
    mod centre_faults;
    mod chaos;
    mod clients;
    mod coffee;
    mod counter;
    mod day;
    mod disk_full;
    mod duplicates;
    mod fuzz;
    mod hostile;
    mod instances;
    mod kill_loop;
    mod load;
    mod mqtt;
    mod prices;
    mod put_back;
    mod reconcile;
    mod same_folder;
    mod server_ends;
    mod site;
    mod storm;
}
