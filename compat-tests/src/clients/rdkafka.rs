//! Rust's `rdkafka` plays its part of the matrix, in a process of its own as the other clients do.

mod client;
mod member;
mod scenarios;

use anyhow::Result;

use crate::clients::matrix::{Line, Outcome, SCENARIOS};
use client::Client;

/// Plays `WEIR_SCENARIO`, or all, against the broker that the environment names, and prints the results.
pub fn play() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = Client::from_environment()?;
        print(&Line::Client {
            client: "rdkafka".to_string(),
            version: client::version().to_string(),
        })?;
        let wanted = std::env::var("WEIR_SCENARIO").unwrap_or_else(|_| "all".to_string());
        for (scenario, _) in SCENARIOS {
            if wanted == "all" || wanted == scenario {
                let outcome = scenarios::play(&client, scenario).await;
                print(&Line::of(scenario, &outcome))?;
            }
        }
        Ok(())
    })
}

fn print(line: &Line) -> Result<()> {
    println!("{}", serde_json::to_string(line)?);
    Ok(())
}

impl From<Result<()>> for Outcome {
    fn from(result: Result<()>) -> Outcome {
        match result {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        }
    }
}
