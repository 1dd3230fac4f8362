//! The model that comes with the library.

use std::ops::ControlFlow;

use depthscale::BuiltinModel;
use depthscale::prelude::*;

use crate::TestBackend;

fn answer(model: &LanguageModel<TestBackend>, problem: &str, exit: Option<&str>) -> Completion {
    let exit = exit.map(|policy| policy.parse().expect("a policy"));
    let options = CompletionOptions { exit, ..CompletionOptions::default() };
    model.complete(problem, &options, |_| ControlFlow::Continue(())).expect("it answers")
}

#[test]
fn it_answers_by_its_own_exit() {
    let model = LanguageModel::<TestBackend>::builtin(&Default::default()).expect("it opens");
    for (problem, expected) in [("47+38=", "85"), ("m7:3+5*4-2*6+1=", "6"), ("(T&(F|!F))=", "T"), ("a=3;?a=", "3")] {
        let completion = answer(&model, problem, None);
        assert_eq!(completion.text, expected, "{problem}");
        assert!(completion.depth.mean_depth() < model.config().depth as f64, "{problem} leaves early");
    }
    let short = answer(&model, "m7:3+5*4-2*6+1=", Some("fixed:2"));
    assert_ne!(short.text, "6", "five operations take more than two steps");
}

#[test]
fn it_is_unpacked_as_long_as_it_is_kept() {
    let unpacked = BuiltinModel::unpack().expect("there is room");
    let path = unpacked.path().to_owned();
    assert!(path.join("model.safetensors").exists());
    assert_eq!(LanguageModel::<TestBackend>::open(&path, &Default::default()).expect("opens").config().depth, 8);
    drop(unpacked);
    assert!(!path.exists());
}
