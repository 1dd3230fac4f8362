//! Completions: requests through the decoder, tokens to text as they come.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::backend::Backend;
use depthscale_decoder::{
    DecoderError, ExitRule, GenerateOptions, GeneratedToken, Generation, Request, StopReason, generate,
};
use depthscale_text::{StopStrings, StreamDecoder, TextError, TextTokenizer};

use crate::{
    Completion, CompletionOptions, CompletionRequest, CompletionToken, Cost, Error, LanguageModel, Piece, Prompt,
    Result, Stop,
};

impl<B: Backend> LanguageModel<B> {
    /// Continues a prompt. `on_piece` sees every token and its text as they come; [`ControlFlow::Break`] ends the
    /// completion.
    ///
    /// # Errors
    /// If the prompt is empty, cannot be expressed or does not fit the model, an option is out of range or not one the
    /// model can follow, or the state stops being finite.
    pub fn complete(
        &self,
        prompt: impl Into<Prompt>,
        options: &CompletionOptions,
        on_piece: impl FnMut(&Piece<'_>) -> ControlFlow<()>,
    ) -> Result<Completion> {
        let completions = self.complete_all(&[prompt.into().into()], options, on_piece);
        let completions = completions.map_err(|error| match error {
            Error::Request { source, .. } => *source,
            other => other,
        })?;
        let only = completions.into_iter().next();
        Ok(only.unwrap_or_else(|| unreachable!("every request gets a completion")))
    }

    /// Continues several prompts together; each gets the tokens it would get alone.
    ///
    /// Text that was held back, because a stop string or character might have been about to be completed, comes in a
    /// last piece once all completions have ended.
    ///
    /// # Errors
    /// As [`Self::complete`]; what is wrong with one of the requests is an [`Error::Request`] that says with which, and
    /// is found before anything is run.
    pub fn complete_all(
        &self,
        requests: &[CompletionRequest],
        options: &CompletionOptions,
        mut on_piece: impl FnMut(&Piece<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<Completion>> {
        let policy = options.exit.as_ref().unwrap_or_else(|| self.exit());
        let exit = ExitRule::new(policy)?;
        let max_depth = exit.max_steps(self.config().depth)?;
        let mut prepared = Vec::with_capacity(requests.len());
        let mut texts = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            let of_request = |error| Error::Request { index, source: Box::new(error) };
            let request = self.prepare(request, options).map_err(of_request)?;
            let text = RunningText::new(self.tokenizer(), &request.0.prompt, request.1).map_err(of_request)?;
            prepared.push(request.0);
            texts.push(text);
        }
        let generate_options = GenerateOptions {
            retention: options.retention,
            cache_dtype: options.cache_dtype,
            prefill: options.prefill,
            zero_initial_state: options.zero_initial_state,
            chunk: options.chunk,
            ..GenerateOptions::new(&exit)
        };
        let start = Instant::now();
        let mut prefill = None;
        let mut failure = None;
        let output = generate(self.decoder(), &prepared, &generate_options, &mut |index, token| {
            prefill.get_or_insert_with(|| start.elapsed());
            match texts[index].take(index, token, &mut on_piece) {
                Ok(flow) if failure.is_none() => flow,
                Ok(_) => ControlFlow::Break(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        let whole = start.elapsed();
        let prefill = prefill.unwrap_or(whole);
        let generations = &output.generations;
        let predicted = |generation: &Generation| generation.trace().tokens.len().saturating_sub(1);
        let cost = Cost {
            evaluations: output.evaluations,
            prompt_tokens: prepared.iter().map(|request| request.prompt.len()).sum(),
            decoded_tokens: generations.iter().map(predicted).sum(),
            prefill_seconds: prefill.as_secs_f64(),
            decode_seconds: whole.saturating_sub(prefill).as_secs_f64(),
        };
        let mut completions = Vec::with_capacity(texts.len());
        for (index, (text, generation)) in texts.into_iter().zip(output.generations).enumerate() {
            completions.push(text.finish(index, generation, max_depth, cost, &mut on_piece)?);
        }
        Ok(completions)
    }

    /// The request in tokens, and its stop strings.
    fn prepare(&self, request: &CompletionRequest, options: &CompletionOptions) -> Result<(Request, Vec<String>)> {
        let prompt = self.encode(&request.prompt)?;
        let limit = self.config().max_positions;
        if prompt.is_empty() {
            return Err(DecoderError::EmptyPrompt.into());
        }
        if prompt.len() > limit {
            return Err(DecoderError::PositionLimit { needed: prompt.len(), limit }.into());
        }
        let sampling = request.sampling.as_ref().unwrap_or(&options.sampling).clone();
        sampling.validate()?;
        let request_of_decoder = Request {
            id: request.id,
            prompt,
            max_new_tokens: request.max_new_tokens.unwrap_or(options.max_new_tokens),
            sampling,
            end_tokens: self.end_tokens().iter().collect(),
        };
        Ok((request_of_decoder, request.stop.as_ref().unwrap_or(&options.stop).clone()))
    }
}

/// The text of one request, as far as it has come.
struct RunningText {
    tokenizer: TextTokenizer,
    stream: StreamDecoder,
    stops: StopStrings,
    stop_strings: Vec<String>,
    stopped: Option<usize>,
    text: String,
    tokens: Vec<CompletionToken>,
}

impl RunningText {
    fn new(tokenizer: &TextTokenizer, prompt: &[u32], stop_strings: Vec<String>) -> Result<Self> {
        let mut stream = StreamDecoder::new(tokenizer);
        // What follows reads as it would behind the prompt: a first word keeps its space.
        for &id in prompt {
            stream.push(id)?;
        }
        Ok(Self {
            tokenizer: tokenizer.clone(),
            stream,
            stops: StopStrings::new(stop_strings.clone())?,
            stop_strings,
            stopped: None,
            text: String::new(),
            tokens: Vec::new(),
        })
    }

    /// Takes in the next token and tells the caller.
    fn take(
        &mut self,
        request: usize,
        token: &GeneratedToken,
        on_piece: &mut impl FnMut(&Piece<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TextError> {
        let fresh = self.stream.push(token.id)?.unwrap_or_default();
        let outcome = self.stops.push(&fresh);
        self.stopped = outcome.stopped;
        self.text.push_str(&outcome.emit);
        let token = self.describe(token);
        let flow = on_piece(&Piece { request, token: Some(&token), text: &outcome.emit });
        self.tokens.push(token);
        Ok(if self.stopped.is_some() { ControlFlow::Break(()) } else { flow })
    }

    fn describe(&self, token: &GeneratedToken) -> CompletionToken {
        CompletionToken { id: token.id, text: self.tokenizer.token_text(token.id), trace: token.trace.clone() }
    }

    /// Gives out what was held back.
    fn finish(
        mut self,
        request: usize,
        generation: Generation,
        max_depth: usize,
        cost: Cost,
        on_piece: &mut impl FnMut(&Piece<'_>) -> ControlFlow<()>,
    ) -> Result<Completion> {
        let depth = generation.trace();
        let asked_to_stop = generation.stop == StopReason::Caller && self.stopped.is_none();
        if self.stopped.is_none() {
            let outcome = self.stops.push(&self.stream.finish()?);
            self.stopped = outcome.stopped;
            let rest = outcome.emit + &self.stops.flush();
            self.text.push_str(&rest);
            if !rest.is_empty() && !asked_to_stop {
                // It has ended already, so whether the caller wants to go on makes no difference.
                let _ = on_piece(&Piece { request, token: None, text: &rest });
            }
        }
        let stop = match (self.stopped, generation.stop) {
            (Some(which), _) => Stop::StopString(self.stop_strings[which].clone()),
            (None, StopReason::EndToken(token)) => Stop::EndToken(self.describe(&token)),
            (None, StopReason::MaxNewTokens) => Stop::MaxNewTokens,
            (None, StopReason::PositionLimit) => Stop::PositionLimit,
            (None, StopReason::Caller) => Stop::Caller,
        };
        Ok(Completion { text: self.text, tokens: self.tokens, stop, prompt: generation.prompt, depth, max_depth, cost })
    }
}
