//! The verifier against whatever a stranger may upload, and against what each alteration of an honest file must give.

mod foreign_values;
mod garbage;
mod judge;
mod large_files;
mod mutations;
mod oracle;
mod own_group;
mod recorded;
mod signed;
