//! The GPU and its driver, as `nvidia-smi` tells them.

use std::process::{Command, Stdio};

use clap::ValueEnum;

use super::Subject;
use super::aside::aside;
use super::check::Check;
use super::configuration::VALUES;
use grail_config::Network;

const DEVICE: &str = "gpu.device";
const DRIVER: &str = "gpu.driver";
const CUBLAS: &str = "gpu.cublas";
/// What the reference's torch calls; other versions may sum in another order.
const CUBLAS_OF_PROOFS: &str = "12.8.4.1";

/// What generates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// An NVIDIA card, whose proofs validators accept.
    Cuda,
    /// The processor, for networks of one's own.
    Cpu,
}

/// A card, as its driver tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Card {
    name: String,
    driver: String,
}

pub(super) async fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let Some(config) = subject.config() else {
        return [DEVICE, DRIVER, CUBLAS].map(|code| Check::skipped(code, VALUES)).into();
    };
    let network = config.chain.network;
    if subject.device == Device::Cpu {
        return vec![processor(network)];
    }
    match aside(subject.limits.call(), card).await.flatten() {
        None => {
            let remedy = match network {
                Network::Custom => "mine on a machine with an NVIDIA card and its driver, or with --device cpu",
                _ => "mine on a machine with an NVIDIA card and its driver: proofs of anything else are rejected",
            };
            let device = Check::obstacle(DEVICE, "no CUDA device: nvidia-smi names none", remedy);
            vec![device, Check::skipped(DRIVER, DEVICE), Check::skipped(CUBLAS, DEVICE)]
        }
        Some(Card { name, driver }) => vec![
            Check::ok(DEVICE, name),
            Check::ok(DRIVER, driver),
            Check::warning(
                CUBLAS,
                "not measured: this build has no CUDA engine that could load it",
                format!("proofs are exact with cuBLAS {CUBLAS_OF_PROOFS} on the validators' model of card"),
            ),
        ],
    }
}

fn processor(network: Network) -> Check {
    match network {
        Network::Custom => Check::ok(DEVICE, "the CPU, which will do on a custom network"),
        _ => Check::obstacle(
            DEVICE,
            format!("--device cpu on {}: validators reject proofs that a CPU computed", network.name()),
            "mine with an NVIDIA card, or on a custom network",
        ),
    }
}

/// The first card; none where there is no card, driver or tool.
fn card() -> Option<Card> {
    let mut query = Command::new("nvidia-smi");
    query.args(["--query-gpu=name,driver_version", "--format=csv,noheader"]).stdin(Stdio::null());
    let output = query.output().ok().filter(|output| output.status.success())?;
    first_card(&String::from_utf8_lossy(&output.stdout))
}

fn first_card(text: &str) -> Option<Card> {
    let (name, driver) = text.lines().next()?.rsplit_once(',')?;
    let [name, driver] = [name, driver].map(|text| text.trim().to_owned());
    let is_version = driver.starts_with(|c: char| c.is_ascii_digit());
    (is_version && !name.is_empty()).then_some(Card { name, driver })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_card_is_taken_and_complaints_are_none() {
        let card = first_card("NVIDIA H200, 580.65.06\nNVIDIA A100, 1\n").unwrap();
        assert_eq!((card.name.as_str(), card.driver.as_str()), ("NVIDIA H200", "580.65.06"));
        for text in ["", "No devices were found\n", "NVIDIA-SMI has failed, make sure\n", ", 580\n"] {
            assert_eq!(first_card(text), None, "{text}");
        }
    }
}
