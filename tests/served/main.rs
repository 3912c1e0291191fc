//! The served world as clients on sockets meet it: a whole miner, and each adapter under each fault.

mod faults;
mod folder;
mod mine;
mod sdk;
mod strangers;
mod world;
