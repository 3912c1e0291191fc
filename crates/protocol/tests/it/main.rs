//! The wire protocol against properties and independent implementations.

mod assembly;
mod drawing;
mod json;
mod parsing;
mod signing;
