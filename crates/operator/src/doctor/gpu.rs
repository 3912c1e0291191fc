//! The GPUs for generation, as the engine itself finds them: through the same libraries, by the same numbers.

use std::time::Duration;

use grail_cuda::CudaError;
use grail_cuda::driver::DeviceDescription;

use super::Subject;
use super::check::{Check, Obstacle};
use super::with_timeout::with_timeout;
use grail_config::Network;
use grail_live::device::DeviceSet;

const DEVICE: &str = "gpu.device";
const DRIVER: &str = "gpu.driver";
const CUBLAS: &str = "gpu.cublas";
/// The version that the validators' PyTorch uses; other versions may sum in another order.
const CUBLAS_OF_PROOFS: &str = "12.8.4.1";
/// GPUs and versions of cuBLAS for which there are golden proofs in the repository.
const GOLDEN_PAIRS: [(&str, i32); 1] = [("NVIDIA H200", 130_100)];
/// Opening a device takes seconds if there are many.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let network = subject.network();
    let ordinals = match subject.device {
        DeviceSet::Cpu => return vec![processor(network)],
        DeviceSet::Cuda(ordinals) => ordinals.clone(),
    };
    let look = move || -> Result<Vec<_>, CudaError> { ordinals.into_iter().map(DeviceDescription::of).collect() };
    match with_timeout(PATIENCE, look).await {
        Some(found) => checks_of(found, network),
        None => {
            let value = format!("the driver does not answer within {} s", PATIENCE.as_secs());
            let device =
                Check::passing(DEVICE, value, "see what `nvidia-smi` says, and start the machine again if it hangs");
            vec![device, Check::skipped(DRIVER, DEVICE), Check::skipped(CUBLAS, DEVICE)]
        }
    }
}

fn processor(network: Network) -> Check {
    match network {
        Network::Custom => Check::ok(DEVICE, "the CPU, which is enough on a custom network"),
        _ => Check::blocked(
            DEVICE,
            Obstacle::Configuration,
            format!("--device cpu on {}: validators reject proofs that a CPU computed", network.name()),
            "mine with an NVIDIA GPU, or on a custom network",
        ),
    }
}

fn checks_of(found: Result<Vec<DeviceDescription>, CudaError>, network: Network) -> Vec<Check> {
    let devices = match found {
        Ok(devices) => devices,
        Err(error) => {
            return vec![absent(&error, network), Check::skipped(DRIVER, DEVICE), Check::skipped(CUBLAS, DEVICE)];
        }
    };
    let mut checks: Vec<Check> = devices.iter().map(described).collect();
    // One driver and one cuBLAS serve all devices of a process.
    if let Some(first) = devices.first() {
        let (major, minor) = first.cuda;
        let release = release().map(|release| format!(", driver {release}")).unwrap_or_default();
        checks.push(Check::ok(DRIVER, format!("CUDA {major}.{minor}{release}")));
    }
    let mut kinds: Vec<&DeviceDescription> = devices.iter().collect();
    kinds.dedup_by(|one, other| one.name == other.name);
    checks.extend(kinds.into_iter().map(multiplied));
    checks
}

/// Returns why there is no device to generate on.
fn absent(error: &CudaError, network: Network) -> Check {
    let text = error.to_string();
    let (value, remedy) = text.rsplit_once("; ").unwrap_or((&text, "see what `nvidia-smi` says"));
    let is_none = matches!(error, CudaError::LibraryMissing { library: "cuda" } | CudaError::NoDevice { count: 0, .. });
    let remedy = match (is_none, network) {
        (false, _) => remedy,
        (true, Network::Custom) => "mine on a machine with an NVIDIA GPU and its driver, or with --device cpu",
        (true, _) => "mine on a machine with an NVIDIA GPU and its driver: proofs of anything else are rejected",
    };
    Check::blocked(DEVICE, Obstacle::Configuration, value, remedy)
}

fn described(device: &DeviceDescription) -> Check {
    let DeviceDescription { ordinal, name, capability: (major, minor), free_bytes, total_bytes, .. } = device;
    let [free, total] = [free_bytes, total_bytes].map(|bytes| bytes >> 30);
    let value = format!("{ordinal} is {name}, compute capability {major}.{minor}, {free} of {total} GiB free");
    Check::ok(DEVICE, value)
}

/// Returns which cuBLAS multiplies, and whether proofs of this pair were recorded.
fn multiplied(device: &DeviceDescription) -> Check {
    let [major, minor, patch] = device.cublas;
    let pair = format!("{major}.{minor}.{patch} on {}", device.name);
    match GOLDEN_PAIRS.contains(&(device.name.as_str(), device.cublas_number())) {
        true => Check::ok(CUBLAS, format!("{pair}, for which there are golden proofs")),
        false => Check::warning(
            CUBLAS,
            format!("{pair}, for which there are no golden proofs"),
            format!("proofs are exact with cuBLAS {CUBLAS_OF_PROOFS} on the validators' model of GPU"),
        ),
    }
}

/// Returns the driver's release, if the kernel's module reports it.
fn release() -> Option<String> {
    release_in(&std::fs::read_to_string("/proc/driver/nvidia/version").ok()?)
}

fn release_in(text: &str) -> Option<String> {
    let words = text.lines().next()?.split_whitespace();
    let is_release = |word: &&str| word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    words.into_iter().find(is_release).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::check::CheckStatus;
    use super::*;

    fn device(ordinal: usize, name: &str, cublas: [i32; 3]) -> DeviceDescription {
        DeviceDescription {
            ordinal,
            name: name.to_owned(),
            capability: (9, 0),
            free_bytes: 138 << 30,
            total_bytes: 139 << 30,
            cuda: (13, 0),
            cublas,
        }
    }

    #[test]
    fn every_named_device_is_reported_and_whether_its_proofs_were_recorded() {
        let two = vec![device(2, "NVIDIA H200", [13, 1, 0]), device(5, "NVIDIA H200", [13, 1, 0])];
        let checks = checks_of(Ok(two), Network::Finney);
        let codes: Vec<&str> = checks.iter().map(|check| check.code).collect();
        assert_eq!(codes, [DEVICE, DEVICE, DRIVER, CUBLAS]);
        assert!(checks.iter().all(|check| check.status == CheckStatus::Ok), "{checks:?}");
        assert_eq!(checks[1].value, "5 is NVIDIA H200, compute capability 9.0, 138 of 139 GiB free");
        let other = checks_of(Ok(vec![device(0, "NVIDIA A100", [12, 8, 4])]), Network::Finney);
        assert_eq!(other[2].status, CheckStatus::Warning);
        assert_eq!(other[2].value, "12.8.4 on NVIDIA A100, for which there are no golden proofs");
    }

    #[test]
    fn a_missing_device_is_explained_by_the_missing_part() {
        let remedy = |error, network| checks_of(Err(error), network).remove(0).remedy.unwrap();
        let none = || CudaError::LibraryMissing { library: "cuda" };
        assert!(remedy(none(), Network::Custom).ends_with("or with --device cpu"));
        assert!(!remedy(none(), Network::Finney).contains("cpu"));
        assert!(remedy(CudaError::NoDevice { ordinal: 3, count: 2 }, Network::Finney).contains("--device"));
        assert!(remedy(CudaError::LibraryMissing { library: "cublas" }, Network::Finney).contains("LD_LIBRARY_PATH"));
        assert!(checks_of(Err(none()), Network::Finney)[0].obstacle().is_some());
    }

    #[test]
    fn the_release_is_read_from_the_module() {
        let text =
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 07:09:26 UTC 2025\nGCC version: 12";
        assert_eq!(release_in(text).as_deref(), Some("580.65.06"));
        assert_eq!(release_in("NVRM version: NVIDIA UNIX Open Kernel Module\n"), None);
    }

    #[test]
    fn the_pairs_are_those_of_the_recorded_proofs() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/golden-proofs");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let recorded: std::collections::BTreeSet<(String, i32)> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .map(|path| {
                let proof: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
                (proof["gpu"].as_str().unwrap().to_owned(), proof["cublas"].as_i64().unwrap() as i32)
            })
            .collect();
        assert_eq!(recorded, GOLDEN_PAIRS.map(|(gpu, cublas)| (gpu.to_owned(), cublas)).into());
    }
}
