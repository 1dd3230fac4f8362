//! Text in, text out.

use std::fs;
use std::ops::ControlFlow;

use depthscale::Error;
use depthscale::decoder::DecoderError;
use depthscale::prelude::*;
use depthscale::text::TextError;

use crate::{TestBackend, arith, fixture};

fn go_on(_: &Piece<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A copy of the fixture in a directory of its own, `edit` applied to one of its JSON files.
fn edited(file: &str, edit: impl FnOnce(&mut serde_json::Value)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    for name in ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(fixture("ouro-arith").join(name), copy.path().join(name)).expect("copied");
    }
    let path = copy.path().join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|_| "{}".into());
    let mut json = serde_json::from_str(&text).expect("it is JSON");
    edit(&mut json);
    fs::write(&path, json.to_string()).expect("written");
    copy
}

#[test]
fn a_completion_carries_its_whole_record() {
    let model = arith();
    let completion = model.process_input("47+38=").expect("it is answered");
    assert_eq!(completion.text, "85");
    assert_eq!(completion.tokens.iter().map(|token| token.text.as_str()).collect::<Vec<_>>(), ["8", "5"]);
    let Stop::EndToken(end) = &completion.stop else { panic!("{:?}", completion.stop) };
    assert_eq!((end.id, end.text.as_str()), (1, "\\n"));
    // The newline that the tokenizer puts in front, and six characters; then two digits and the end.
    assert_eq!((completion.prompt.tokens.len(), completion.depth.tokens.len()), (7, 3));
    assert_eq!((completion.max_depth, completion.depth.mean_depth(), completion.steps_saved()), (4, 4.0, 0.0));
    // Nine tokens went through two blocks four times.
    assert_eq!(completion.cost.evaluations.total(), 9 * 2 * 4);
    assert_eq!((completion.cost.prompt_tokens, completion.cost.decoded_tokens), (7, 2));
}

#[test]
fn blocks_evaluated_are_those_of_the_trace() {
    let model = arith();
    let options = CompletionOptions { exit: Some("q-exit:0.5".parse().expect("a policy")), ..Default::default() };
    let completion = model.complete("47+38=", &options, go_on).expect("it is answered");
    // The token that predicted the first digit is the last of the prompt.
    let steps = completion.prompt.total_steps() + completion.depth.total_steps() - completion.depth.tokens[0].steps;
    assert_eq!(completion.cost.evaluations.core, 2 * steps as u64);
    assert!(completion.steps_saved() > 0.0);
    assert_eq!(completion.depth.tokens[0], completion.prompt.tokens[6]);
}

#[test]
fn pieces_are_the_text_and_can_stop_it() {
    let model = arith();
    let mut streamed = String::new();
    let completion = model.complete("47+38=", &CompletionOptions::default(), |piece| {
        streamed.push_str(piece.text);
        assert_eq!(piece.token.map(|token| token.text.as_str()), Some(piece.text));
        ControlFlow::Continue(())
    });
    assert_eq!(streamed, completion.expect("it is answered").text);

    let completion = model.complete("47+38=", &CompletionOptions::default(), |_| ControlFlow::Break(()));
    let completion = completion.expect("it is answered");
    assert_eq!((completion.text.as_str(), completion.stop), ("8", Stop::Caller));
}

#[test]
fn stop_strings_end_the_text_before_them() {
    let model = arith();
    let with = |stop: &[&str]| {
        let stop = stop.iter().map(ToString::to_string).collect();
        let options = CompletionOptions { stop, ..Default::default() };
        model.complete("47+38=", &options, go_on).expect("it is answered")
    };
    let stopped = with(&["7", "5"]);
    assert_eq!((stopped.text.as_str(), &stopped.stop), ("8", &Stop::StopString("5".into())));
    assert_eq!(stopped.tokens.len(), 2);
    // Its beginning is held back and given out at the end.
    let held = with(&["85+"]);
    assert_eq!((held.text.as_str(), held.stop.name()), ("85", "end-token"));
    let whole = with(&["85"]);
    assert_eq!((whole.text.as_str(), whole.stop), ("", Stop::StopString("85".into())));
}

#[test]
fn prompts_run_together_as_they_run_alone() {
    let model = arith();
    let options = CompletionOptions { exit: Some("q-exit:0.4".parse().expect("a policy")), ..Default::default() };
    let sampling = SamplingParams { temperature: 2.0, seed: 5, ..SamplingParams::default() };
    let requests: Vec<CompletionRequest> = vec![
        "47+38=".into(),
        CompletionRequest { sampling: Some(sampling), id: 3, ..CompletionRequest::from("1+2=") },
        CompletionRequest { max_new_tokens: Some(1), ..CompletionRequest::from("99+99=") },
        CompletionRequest { max_new_tokens: Some(0), ..CompletionRequest::from("5+5=") },
    ];
    let together = model.complete_all(&requests, &options, go_on).expect("all are answered");
    assert_eq!(together[0].text, "85");
    assert_eq!((together[2].text.as_str(), &together[2].stop), ("1", &Stop::MaxNewTokens));
    assert_eq!((together[3].text.as_str(), together[3].depth.mean_depth()), ("", 0.0));
    for (request, together) in requests.iter().zip(&together) {
        let alone = model.complete_all(std::slice::from_ref(request), &options, go_on).expect("it is answered");
        assert_eq!(alone[0].text, together.text);
        let steps = |trace: &DepthTrace| trace.tokens.iter().map(|token| token.steps).collect::<Vec<_>>();
        assert_eq!(steps(&alone[0].depth), steps(&together.depth));
    }
}

#[test]
fn reasoning_shows_a_hypothesis_a_step() {
    let model = arith();
    let state = model.reason("47+38=", &ExitPolicy::default(), KvRetention::PerStep).expect("it is thought over");
    assert_eq!((state.steps(), state.input.as_str()), (4, "47+38="));
    assert_eq!(state.hypothesis.as_deref(), Some("8"));
    assert!(!state.converged && state.metrics().iter().all(|metric| metric.is_finite()));

    let policy = "q-exit:0.3".parse().expect("a policy");
    let state = model.reason("47+38=", &policy, KvRetention::PerStep).expect("it is thought over");
    assert!(state.converged && state.steps() < 4);
    assert!(state.thoughts.iter().all(|thought| thought.report.exit_value.is_some()));
}

#[test]
fn memory_grows_with_depth_unless_slots_are_shared() {
    let model = arith();
    let at = |depth, retention| model.memory(64, depth, retention);
    let (one, four) = (at(1, KvRetention::PerStep), at(4, KvRetention::PerStep));
    assert_eq!(four.per_step_kv, 4 * one.per_step_kv);
    // Keys and values of 64 tokens in 2 layers of width 96, 4 bytes each.
    assert_eq!(one.per_step_kv, 2 * 64 * 2 * 96 * 4);
    assert_eq!(at(4, KvRetention::Shared), at(1, KvRetention::Shared));
}

#[test]
fn a_conversation_goes_through_the_chat_template() {
    let error = arith().chat(&[ChatMessage::new("user", "1+2=")], &CompletionOptions::default(), go_on);
    assert!(matches!(error, Err(Error::Text(TextError::NoChatTemplate { .. }))));

    let dir = edited("tokenizer_config.json", |json| {
        json["chat_template"] = "{% for message in messages %}\n{{ message.content }}{% endfor %}".into();
    });
    let model: LanguageModel<TestBackend> =
        LanguageModel::open(dir.path(), &Default::default()).expect("the copy opens");
    let prompt = Prompt::Chat(vec![ChatMessage::new("user", "47+38=")]);
    // The template holds what comes in front itself, so nothing is added.
    let rendered = model.encode(&prompt).expect("it is rendered");
    assert_eq!(rendered.len(), model.encode(&"47+38=".into()).expect("it is encoded").len() - 1);
    let answer = model.chat(&[ChatMessage::new("user", "47+38=")], &CompletionOptions::default(), go_on);
    assert!(!answer.expect("it is answered").tokens.is_empty());
}

#[test]
fn a_tokenizer_with_more_ids_than_the_model_is_refused() {
    let dir = edited("tokenizer.json", |json| {
        json["added_tokens"] = serde_json::json!([{
            "id": 15, "content": "<more>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        }]);
    });
    let error = LanguageModel::<TestBackend>::open(dir.path(), &Default::default()).expect_err("15 is too high");
    assert!(matches!(error, Error::VocabularyMismatch { highest: 15, vocab_size: 15, .. }), "{error}");
    assert!(!error.is_usage());
}

#[test]
fn what_is_wrong_with_a_request_is_said_before_anything_runs() {
    let model = arith();
    let refuse = |requests: &[CompletionRequest]| {
        let completions = model.complete_all(requests, &CompletionOptions::default(), |_| panic!("nothing may run"));
        completions.expect_err("it is refused")
    };
    let too_long: CompletionRequest = "1".repeat(64).into();
    let error = refuse(&["1+2=".into(), too_long.clone()]);
    assert!(error.is_usage());
    let Error::Request { index: 1, source } = error else { panic!("{error}") };
    assert!(
        matches!(*source, Error::Decoder(DecoderError::PositionLimit { needed: 65, limit: 64 })),
        "the newline in front makes it 65: {source}"
    );
    let empty = CompletionRequest { prompt: Prompt::Tokens(Vec::new()), ..too_long };
    assert!(matches!(refuse(&[empty]), Error::Request { index: 0, .. }));
    let unknown = model.complete(Prompt::Tokens(vec![15]), &CompletionOptions::default(), go_on);
    assert!(matches!(unknown, Err(Error::Decoder(DecoderError::TokenOutOfRange { token: 15, .. }))));
}

#[test]
fn a_prompt_up_to_the_limit_gets_one_token() {
    let completion = arith().process_input(&"1".repeat(63)).expect("64 tokens fit");
    assert!(completion.tokens.len() <= 1, "{}", completion.text);
    if completion.tokens.len() == 1 {
        assert_eq!(completion.stop, Stop::PositionLimit);
    }
}

#[test]
fn a_model_may_be_sent_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<LanguageModel<TestBackend>>();
    is_send::<Completion>();
    is_send::<CompletionOptions>();
    is_send::<CompletionRequest>();
    is_send::<Error>();
}
