use std::fs;

use serde_json::json;

use super::*;

/// The ChatML template as published with many checkpoints, written over several lines.
const CHATML: &str = "\
{%- if messages[0]['role'] != 'system' -%}
    {{- '<|im_start|>system\\nBe helpful.<|im_end|>\\n' }}
{%- endif %}
{% for message in messages %}
    {% if message.role not in ['system', 'user', 'assistant'] %}
        {{ raise_exception('Unknown role: ' + message.role) }}
    {% endif %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'].strip() + '<|im_end|>' }}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}
";

fn open(files: &[(&str, &str)]) -> Result<ChatTemplate, TextError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    ChatTemplate::open(dir.path())
}

/// Renders a template for one user message.
fn render(template: &str, content: &str) -> Result<String, TextError> {
    open(&[(TEMPLATE_FILE, template)])?.render(&[ChatMessage::new("user", content)], true)
}

#[test]
fn a_conversation_in_chatml() {
    let template = open(&[(TEMPLATE_FILE, CHATML)]).unwrap();
    let messages = [ChatMessage::new("user", " What is 2+2? "), ChatMessage::new("assistant", "4")];
    let system = "<|im_start|>system\nBe helpful.<|im_end|>\n";
    let turns = "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n";
    assert_eq!(template.render(&messages, false).unwrap(), format!("{system}{turns}"));
    assert_eq!(template.render(&messages, true).unwrap(), format!("{system}{turns}<|im_start|>assistant\n"));
}

#[test]
fn a_template_can_refuse() {
    let template = open(&[(TEMPLATE_FILE, CHATML)]).unwrap();
    let error = template.render(&[ChatMessage::new("tool", "1")], true);
    let error = error.unwrap_err();
    assert!(
        matches!(&error, TextError::TemplateRefused { path, message }
            if path.ends_with(TEMPLATE_FILE) && message == "Unknown role: tool"),
        "{error}"
    );
}

#[test]
fn a_refusal_inside_a_macro_is_still_one() {
    let template = "{% macro check() %}{{ raise_exception('no') }}{% endmacro %}{{ check() }}";
    let error = render(template, "hi").unwrap_err();
    assert!(matches!(&error, TextError::TemplateRefused { message, .. } if message == "no"), "{error}");
}

#[test]
fn the_file_comes_before_the_key_and_the_tokens_from_the_config() {
    let config = json!({
        "chat_template": "key", "bos_token": "<s>", "eos_token": {"content": "</s>", "special": true}
    });
    let config = config.to_string();
    let file = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}";
    let template = open(&[(TEMPLATE_FILE, file), (CONFIG_FILE, &config)]).unwrap();
    let prompt = template.render(&[ChatMessage::new("user", "hi")], true);
    assert_eq!(prompt.unwrap(), "<s>hi</s>");

    let template = open(&[(CONFIG_FILE, &config)]).unwrap();
    assert_eq!(template.render(&[], true).unwrap(), "key");
}

#[test]
fn a_token_that_is_not_published_is_undefined() {
    let template = "[{{ bos_token }}]{{ bos_token is defined }}";
    assert_eq!(render(template, "").unwrap(), "[]False");
}

#[test]
fn of_several_templates_the_default_one_is_taken() {
    let config = json!({"chat_template": [
        {"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}
    ]});
    let template = open(&[(CONFIG_FILE, &config.to_string())]).unwrap();
    assert_eq!(template.render(&[], true).unwrap(), "plain");
}

#[test]
fn a_checkpoint_without_a_template_says_so() {
    for config in ["{}", r#"{"chat_template": null}"#] {
        let error = open(&[(CONFIG_FILE, config)]).unwrap_err();
        assert!(matches!(error, TextError::NoChatTemplate { .. }));
        assert!(error.to_string().contains(TEMPLATE_FILE), "{error}");
        assert!(error.to_string().contains(CONFIG_FILE), "{error}");
    }
    assert!(matches!(open(&[]).unwrap_err(), TextError::NoChatTemplate { .. }));
}

#[test]
fn wrong_types_name_the_key() {
    let cases = [
        (json!({"chat_template": 3}), "chat_template"),
        (json!({"chat_template": [3]}), "chat_template"),
        (json!({"chat_template": [{"name": "a", "template": "b"}]}), "chat_template"),
        (json!({"chat_template": [{"name": "default"}]}), "chat_template"),
        (json!({"chat_template": "a", "bos_token": 1}), "bos_token"),
        (json!({"chat_template": "a", "eos_token": {}}), "eos_token"),
    ];
    for (config, wrong) in cases {
        let error = open(&[(CONFIG_FILE, &config.to_string())]).unwrap_err();
        assert!(matches!(&error, TextError::WrongType { key, .. } if key == wrong), "{config}: {error}");
    }
    let error = open(&[(TEMPLATE_FILE, "a"), (CONFIG_FILE, "{")]).unwrap_err();
    assert!(matches!(error, TextError::Malformed { .. }), "{error}");
}

#[test]
fn a_template_that_does_not_parse_names_its_line() {
    let error = open(&[(TEMPLATE_FILE, "line one\n{% if %}")]).unwrap_err();
    assert!(matches!(&error, TextError::TemplateSyntax { message, .. } if message.contains(":2")), "{error}");
}

#[test]
fn failures_while_rendering_are_typed() {
    for template in ["{{ absent.name }}", "{{ absent() }}", "{{ strftime_now('%Y') }}"] {
        let error = render(template, "").unwrap_err();
        assert!(matches!(&error, TextError::TemplateRender { .. }), "{error}");
    }
    let error = render("{{ strftime_now('%Y') }}", "").unwrap_err();
    assert!(error.to_string().contains("strftime_now"), "{error}");
    let guarded = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}no date{% endif %}";
    assert_eq!(render(guarded, "").unwrap(), "no date");
}

#[test]
fn json_is_written_as_python_does() {
    let content = "<a href='x'>é&\\u003c\\\"\n";
    // json.dumps({"role": "user", "content": ...}, ensure_ascii=False)
    let expected = r#"{"role": "user", "content": "<a href='x'>é&\\u003c\\\"\n"}"#;
    assert_eq!(render("{{ messages[0] | tojson }}", content).unwrap(), expected);
    assert_eq!(render("{{ messages[0].content | tojson(ensure_ascii=False) }}", "é<").unwrap(), "\"é<\"");
    assert_eq!(
        render("{{ messages | tojson(indent=2) }}", "a").unwrap(),
        "[\n  {\n    \"role\": \"user\",\n    \"content\": \"a\"\n  }\n]"
    );
}

#[test]
fn the_python_habits_of_templates_work() {
    let template = "\
{%- set ns = namespace(n=0) -%}
{%- for message in messages[0:] -%}
    {%- if loop.first and message.get('name') is none -%}
        {%- set ns.n = ns.n + 1 -%}
    {%- endif -%}
    {%- if tools is none and not documents -%}
        {{- message['content'].split('|')[-1].lstrip('x').upper() ~ ns.n -}}
    {%- endif -%}
    {%- break -%}
{%- endfor -%}";
    assert_eq!(render(template, "a|xxb").unwrap(), "B1");
    // Prompts are not HTML.
    assert_eq!(render("{{ messages[0].content }}", "<&'>").unwrap(), "<&'>");
}
