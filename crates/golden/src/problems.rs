//! Vectors of SAT problems and of their prompts.

use std::path::Path;

use grail_engine::HfTokenizer;
use grail_protocol::generation::Tokenizer;
use grail_protocol::problem::{Problem, ProblemSeed};
use grail_protocol::prompt::{problem_text, prompt};
use grail_protocol::python_json::Value;
use grail_protocol::randomness::hash_u32s;
use sha2::{Digest, Sha256};

use super::GoldenError;
use super::case::{Case, VectorFile, list};
use super::report::FileReport;

pub(super) fn sat_problem(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let problem = canonical_problem(case)?;
        case.compare("seed", problem.origin.seed.as_str())?;
        case.compare("difficulty", problem.origin.difficulty)?;
        compare_problem(case, &problem)?;
        let text = problem_text(&problem);
        case.compare("prompt_sha256", hex::encode(Sha256::digest(&text)))?;
        case.compare_if_recorded("prompt", text)
    })
}

pub(super) fn sat_problem_free(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let origin = ProblemSeed { seed: case.text("seed")?.to_owned(), difficulty: case.float("difficulty")? };
        compare_problem(case, &Problem::generate(origin))
    })
}

pub(super) fn prompt_tokens(file: &VectorFile) -> Result<FileReport, GoldenError> {
    let tokenizer = qwen3_tokenizer(&file.fixtures().join("tokenizer/qwen3-tokenizer.json.zst"))?;
    file.each_case(|case| {
        let text = prompt(&canonical_problem(case)?);
        let ids = tokenizer.encode(&text);
        case.compare("len", ids.len())?;
        case.compare("ids_sha256", hex::encode(hash_u32s(&ids)))?;
        case.compare_if_recorded("ids", list(ids))?;
        case.compare_if_recorded("text", text)
    })
}

fn qwen3_tokenizer(path: &Path) -> Result<HfTokenizer, GoldenError> {
    let unreadable = |source| GoldenError::Read { path: path.to_owned(), source };
    let packed = std::fs::File::open(path).map_err(unreadable)?;
    let json = zstd::decode_all(packed).map_err(unreadable)?;
    HfTokenizer::from_bytes(&json, &path.display().to_string())
        .map_err(|error| GoldenError::Malformed { path: path.to_owned(), what: error.to_string() })
}

fn canonical_problem(case: &mut Case) -> Result<Problem, GoldenError> {
    Ok(Problem::canonical(case.text("hotkey")?, case.text("window_hash")?, case.int("index")?))
}

fn compare_problem(case: &mut Case, problem: &Problem) -> Result<(), GoldenError> {
    case.compare("num_vars", problem.num_vars)?;
    let clauses: Vec<Value> = problem.clauses.iter().map(|clause| list(clause.iter().copied())).collect();
    case.compare("clauses", clauses)
}
