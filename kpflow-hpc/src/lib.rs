//! The runner: from a checkpoint and a job file to a result file, on a laptop or over MPI ranks.
//!
//! Data flows one way: job → model and inputs → linearisation → operator → estimator → results.

// A new name of ours is asked for wherever names are told apart.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod analysis;
pub mod blas;
pub mod brought;
pub mod check;
pub mod cli;
pub mod closed;
pub mod comm;
pub mod command;
pub mod compare;
pub mod demo;
pub mod engine;
pub mod error;
pub mod events;
pub mod hdf5_file;
pub mod held;
pub mod info;
pub mod job;
pub mod journal;
pub mod kinds;
pub mod load;
pub mod memory;
pub mod model;
pub mod network;
pub mod onnx;
pub mod plan;
pub mod products;
pub mod progress;
pub mod replace;
pub mod report;
pub mod results;
pub mod run;
pub mod sharing;
pub mod shell;
pub mod signals;
pub mod spelling;
pub mod tasks;
pub mod threads;
pub mod tiling;
pub mod train;
pub mod versions;
pub mod words;
