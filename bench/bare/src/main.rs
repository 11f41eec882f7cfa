//! The limit: a bare axum handler over Redis, and one over ONNX Runtime, with nothing else around them.
//!
//! What plumb adds to a request (names, types, statuses, times, metrics, the prediction log, a fleet that changes while
//! it serves) is the distance between its figures and these. So nothing is added here: no validation beyond what keeps
//! the answer right, and an error of the backend is a 500.

mod features;
mod keyed;
mod predict;

use std::error::Error;
use std::process::ExitCode;
use std::str::FromStr;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

const USAGE: &str = "\
usage: bare features --redis URL --http ADDR [--project NAME] [--key NAME] [--view NAME@vN] [--columns N]
       bare predict --model FILE --http ADDR
       bare keyed --model FILE --redis URL --http ADDR [--project NAME] [--key NAME] [--view NAME@vN] [--columns N]

features   POST / {\"entities\": {\"KEY\": [1, 2]}}: one HMGET a key of what `plumb materialize` wrote, for a view of N
           float64 features (bench, k, stats@v1 and 10 unless given)
predict    POST / {\"inputs\": [[0.5, ...], ...]}: one run of the model, in FP32, on a session per core
           The library is found by ORT_DYLIB_PATH.
keyed      POST / {\"entities\": {\"KEY\": [1]}}: one HMGET a key, and one run of what it gives";

/// As plumb has: what is compared is not the allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &[String]) -> Result<(), Failure> {
    let Some((command, rest)) = args.split_first() else { return Err(USAGE.into()) };
    let options = Options::parse(rest)?;
    let router = match command.as_str() {
        "features" => features::router(&options).await?,
        "predict" => predict::router(&options)?,
        "keyed" => keyed::router(&options).await?,
        _ => return Err(USAGE.into()),
    };
    serve(router, options.required("http")?).await
}

async fn serve(router: Router, address: &str) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await?;
    say(&format!("serving on http://{}", listener.local_addr()?));
    // An answer is one packet, and must not wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    axum::serve(listener, router).await?;
    Ok(())
}

/// `--name value` pairs.
#[derive(Debug)]
struct Options<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Options<'a> {
    fn parse(args: &'a [String]) -> Result<Self, Failure> {
        let pair = |pair: &'a [String]| match pair {
            [name, value] => name.strip_prefix("--").map(|name| (name, value.as_str())),
            _ => None,
        };
        args.chunks(2).map(pair).collect::<Option<Vec<_>>>().map(Self).ok_or_else(|| USAGE.into())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn required(&self, name: &str) -> Result<&'a str, Failure> {
        self.get(name).ok_or_else(|| format!("--{name} is missing\n{USAGE}").into())
    }

    fn number<T: FromStr<Err: Error + Send + Sync + 'static>>(&self, name: &str, default: T) -> Result<T, Failure> {
        self.get(name).map_or(Ok(default), |text| text.parse().map_err(|why| format!("--{name} {text}: {why}").into()))
    }
}

#[expect(clippy::print_stderr, reason = "whoever starts a server by hand wants to know its address")]
fn say(text: &str) {
    eprintln!("{text}");
}
