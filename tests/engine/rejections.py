"""Errors that reject a parameter, as providers send them, and errors that only look so.

Each: the source (read on 2026-11-28), the HTTP status, the body, and what is rejected: the names, or
``role:`` with the role. [I]: put together from the provider's documented form, not seen word for word.
"""

REQUEST = "invalid_request_error"


def openai(message, param=None, code=None, kind=REQUEST):
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


GITHUB = "https://github.com/"
REJECTIONS = [
    (
        GITHUB + "fish2018/YPrompt/issues/26",
        400,
        openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        ),
        ["max_tokens"],
    ),
    (
        GITHUB + "caozhiyuan/copilot-api/issues/164",
        400,
        {
            "error": {
                "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                "code": "invalid_request_body",
            }
        },
        ["max_tokens"],
    ),
    (
        GITHUB + "BerriAI/litellm/issues/8192",
        400,
        openai(
            "litellm.BadRequestError: OpenAIException - Error code: 400 - {'error': {'message': "
            "\"Unsupported parameter: 'temperature' is not supported with this model.\", 'type': "
            "'invalid_request_error', 'param': 'temperature', 'code': 'unsupported_parameter'}}",
            code="400",
            kind=None,
        ),
        ["temperature"],
    ),
    (
        "https://platform.openai.com/docs/guides/reasoning [I]",
        400,
        openai(
            "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default "
            "(1) value is supported.",
            "temperature",
            "unsupported_value",
        ),
        ["temperature"],
    ),
    (
        "https://platform.openai.com/docs/guides/reasoning [I]",
        400,
        openai(
            "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default "
            "(1) value is supported."
        ),
        ["temperature"],
    ),
    (
        GITHUB + "run-llama/llama_index/issues/17731 (Azure)",
        400,
        openai("Unknown parameter: 'reasoning_effort'.", "reasoning_effort", "unknown_parameter"),
        ["reasoning_effort"],
    ),
    (
        GITHUB + "lobehub/lobehub/issues/10567 (Azure)",
        400,
        {
            "error": {
                "code": "unknown_parameter",
                "type": REQUEST,
                "error": {
                    "code": "unknown_parameter",
                    "type": REQUEST,
                    "param": "apiMode",
                    "message": "Unknown parameter: 'apiMode'.",
                },
                "param": "apiMode",
                "status": 400,
            }
        },
        ["api_mode"],
    ),
    (
        GITHUB + "quarkiverse/quarkus-langchain4j/issues/285 (Azure)",
        400,
        openai("Unrecognized request arguments supplied: frequencyPenalty, presencePenalty, topP"),
        ["frequency_penalty", "presence_penalty", "top_p"],
    ),
    (
        GITHUB + "567-labs/instructor/issues/381 (Azure)",
        404,
        openai("Unrecognized request argument supplied: functions"),
        ["functions"],
    ),
    (
        GITHUB + "router-for-me/CLIProxyAPI/issues/2352",
        400,
        {"detail": "Unsupported parameter: response_format"},
        ["response_format"],
    ),
    (
        "https://platform.openai.com/docs/guides/migrate-to-responses [I]",
        400,
        openai(
            "Unsupported parameter: 'response_format'. In the Responses API, this parameter has moved to "
            "'text.format'. Try again with the new parameter.",
            None,
            "unsupported_parameter",
        ),
        ["response_format"],
    ),
    (
        GITHUB + "Skurios in animalnots/BetterChatGPT-PLUS/issues/90",
        400,
        openai(
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            "messages[0].role",
            "unsupported_value",
        ),
        "role:system",
    ),
    (
        GITHUB + "Taewan-P/gpt_mobile/issues/202",
        400,
        openai("Unsupported value: 'messages[0].role' does not support 'system' with this model."),
        "role:system",
    ),
    (
        GITHUB + "QuantumNous/new-api/issues/847",
        400,
        openai(
            "Unsupported value: 'messages[0].role' does not support 'developer' with this model."
        ),
        "role:developer",
    ),
    (
        GITHUB + "eclipse-theia/theia/issues/15144 (DeepSeek)",
        422,
        openai(
            "Failed to deserialize the JSON body into the target type: messages[0].role: unknown variant "
            "`developer`, expected one of `system`, `user`, `assistant`, `tool` at line 5 column 25"
        ),
        "role:developer",
    ),
    (
        GITHUB + "bramses/chatgpt-md/issues/189 (DeepSeek)",
        400,
        openai(
            "Input tag 'developer' found using 'role' does not match any of the expected tags: 'system', "
            "'user', 'assistant', 'tool'"
        ),
        "role:developer",
    ),
    (
        GITHUB + "michelle-avery/openai-compatible-conversation/issues/21 (DashScope)",
        400,
        openai(
            "developer is not one of ['system', 'assistant', 'user', 'tool', 'function'] - "
            "'messages.['0].role'"
        ),
        "role:developer",
    ),
    (
        GITHUB + "voideditor/void/issues/128 (vLLM)",
        400,
        {
            "object": "error",
            "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'max_completion_tokens'), 'msg': "
            "'Extra inputs are not permitted', 'input': 8192}]",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        ["max_completion_tokens"],
    ),
    (
        GITHUB + "partITech/php-mistral/issues/76 (Mistral)",
        422,
        {
            "object": "Error",
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "tools"],
                    "msg": "Extra inputs are not permitted",
                    "input": [],
                }
            ],
            "type": REQUEST,
            "code": 3001,
        },
        ["tools"],
    ),
    (
        GITHUB + "mistralai/client-ts/issues/65",
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "safe_prompt"],
                    "msg": "Extra inputs are not permitted",
                    "input": False,
                }
            ]
        },
        ["safe_prompt"],
    ),
    (
        GITHUB + "plastic-labs/honcho/pull/778 (NVIDIA)",
        400,
        {
            "detail": {
                "type": "extra_forbidden",
                "loc": ["body", "dimensions"],
                "msg": "Extra inputs are not permitted",
                "input": 1024,
            }
        },
        ["dimensions"],
    ),
    (
        GITHUB + "CortexReach/memory-lancedb-pro/issues/578 (NVIDIA)",
        400,
        openai(
            "Your request cannot be validated, it is incorrect. detail={'type': 'extra_forbidden', 'loc': "
            "('body', 'dimensions'), 'msg': 'Extra inputs are not permitted', 'input': 1024}"
        ),
        ["dimensions"],
    ),
    (
        GITHUB + "vllm-project/vllm/pull/16331",
        400,
        {
            "object": "error",
            "message": 'Model "bge-m3" does not support matryoshka representation, changing output '
            "dimensions will lead to poor results.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        ["dimensions"],
    ),
    (
        "https://platform.openai.com/docs/api-reference/embeddings/create [I]",
        400,
        openai("This model does not support specifying dimensions."),
        ["dimensions"],
    ),
    (
        GITHUB + "Lineuson in MinLL/SkyrimNet-GamePlugin/issues/77 (Gemini)",
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": 'Invalid JSON payload received. Unknown name "extra_body" at '
                    "'extra_body': Cannot find field.\nInvalid JSON payload received. Unknown name "
                    '"frequency_penalty": Cannot find field.\nInvalid JSON payload received. Unknown '
                    'name "top_k": Cannot find field.',
                    "status": "INVALID_ARGUMENT",
                    "details": [
                        {
                            "@type": "type.googleapis.com/google.rpc.BadRequest",
                            "fieldViolations": [
                                {
                                    "description": "Invalid JSON payload received. Unknown name "
                                    '"frequency_penalty": Cannot find field.'
                                }
                            ],
                        }
                    ],
                }
            }
        ],
        ["extra_body", "frequency_penalty", "top_k"],
    ),
    (
        GITHUB + "BerriAI/litellm/issues/7748",
        400,
        openai(
            "litellm.UnsupportedParamsError: gemini does not support parameters: {'frequency_penalty': "
            "0.5}, for model=gemini-2.0-flash."
        ),
        ["frequency_penalty"],
    ),
    (
        GITHUB + "BerriAI/litellm/pull/40720",
        400,
        openai("dashscope does not support parameters: ['thinking']"),
        ["thinking"],
    ),
    (
        GITHUB + "SWE-bench/SWE-smith/pull/155 (LiteLLM)",
        500,
        openai(
            "litellm.UnsupportedParamsError: gpt-5 models don't support temperature=0. Only temperature=1 "
            "is supported. To drop unsupported params set `litellm.drop_params = True`"
        ),
        ["temperature"],
    ),
    (
        GITHUB + "BerriAI/litellm/pull/33738",
        400,
        {
            "type": "error",
            "error": {
                "type": REQUEST,
                "message": "litellm.UnsupportedParamsError: gpt-5-nano doesn't support temperature=0.1 while "
                "reasoning is active. Only temperature=1 is supported unless reasoning.effort resolves to "
                "'none', either set explicitly on the request or declared as the model's "
                "default_reasoning_effort.",
            },
        },
        ["temperature"],
    ),
    (
        GITHUB + "n8n-io/n8n/issues/14581 (xAI)",
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "Argument not supported on this model: presencePenalty",
        },
        ["presence_penalty"],
    ),
    (
        GITHUB + "BerriAI/litellm/issues/12635 (xAI)",
        400,
        openai(
            'litellm.BadRequestError: XaiException - {"code":"Client specified an invalid argument",'
            '"error":"Argument not supported on this model: stop"}. Received Model Group=xai_grok-4\n'
            "Available Model Group Fallbacks=None",
            code="400",
            kind=None,
        ),
        ["stop"],
    ),
    (
        GITHUB + "chenyme/grok2api/issues/814 (xAI)",
        400,
        {
            "code": "invalid-argument",
            "error": "Model grok-4.20-0309-reasoning does not support parameter reasoningEffort.",
        },
        ["reasoning_effort"],
    ),
    (
        GITHUB + "anomalyco/opencode/issues/53 (Groq) [I]",
        400,
        openai("property 'reasoning_effort' is unsupported"),
        ["reasoning_effort"],
    ),
    (
        "https://console.groq.com/docs/reasoning [I]",
        400,
        openai("`reasoning_effort` is not supported with this model"),
        ["reasoning_effort"],
    ),
    (
        GITHUB + "lambda-symbolics/autolith/pull/25 (Fireworks)",
        400,
        openai("non-reasoning model does not support reasoning_effort"),
        ["reasoning_effort"],
    ),
    (
        "https://docs.fireworks.ai/api-reference/post-chatcompletions [I]",
        400,
        openai("Extra inputs are not permitted, field: 'store', value: True"),
        ["store"],
    ),
    (
        GITHUB
        + "earendil-works/pi/issues (Cerebras: top_k gives 400; mnfst/modelparams.dev/pull/115) [I]",
        400,
        {
            "message": "body.top_k: property 'body.top_k' is unsupported",
            "type": REQUEST,
            "param": "validation_error",
            "code": "wrong_api_format",
        },
        ["top_k"],
    ),
    (
        GITHUB + "UKGovernmentBEIS/inspect_ai/issues/3721 (Anthropic)",
        400,
        {
            "type": "error",
            "error": {"type": REQUEST, "message": "`temperature` is deprecated for this model."},
        },
        ["temperature"],
    ),
    (
        GITHUB + "ltmoerdani/opencode-copilot-chat/issues/20 (Anthropic)",
        400,
        {"message": "temperature is deprecated for this model."},
        ["temperature"],
    ),
    (
        GITHUB + "RooCodeInc/Roo-Code/issues/12162 (Bedrock behind LiteLLM)",
        400,
        openai(
            'litellm.BadRequestError: BedrockException - {"message":"The model returned the following '
            'errors: {\\"type\\":\\"error\\",\\"error\\":{\\"type\\":\\"invalid_request_error\\",'
            '\\"message\\":\\"`temperature` is deprecated for this model.\\"}}"}'
        ),
        ["temperature"],
    ),
    (
        GITHUB + "anthropics/claude-code/issues (form: path: Extra inputs are not permitted) [I]",
        400,
        {
            "type": "error",
            "error": {
                "type": REQUEST,
                "message": "output_config.effort: Extra inputs are not permitted",
            },
        },
        ["output_config.effort"],
    ),
    (
        GITHUB + "skydiscover-ai/skydiscover/issues/15 (Bedrock)",
        400,
        openai(
            "The model returned the following errors: `temperature` and `top_p` cannot both be specified "
            "for this model. Please use only one."
        ),
        ["temperature", "top_p"],
    ),
    (
        GITHUB + "smallmain/vscode-unify-chat-provider/issues/279",
        400,
        openai(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        ),
        ["max_tokens", "max_completion_tokens"],
    ),
    (
        GITHUB + "BerriAI/litellm/pull/35969",
        500,
        openai(
            "litellm.InternalServerError: InternalServerError: OpenAIException - AsyncCompletions.create() "
            "got an unexpected keyword argument 'reasoning_effort'. Received Model Group=fw-oss"
        ),
        ["reasoning_effort"],
    ),
    (
        "https://github.com/ollama/ollama/blob/main/server/routes.go [I]",
        400,
        {"error": {"message": "registry.ollama.ai/library/gemma:2b does not support tools"}},
        ["tools"],
    ),
    (
        "https://api-docs.deepseek.com/guides/thinking_mode [I]",
        400,
        openai("deepseek-reasoner does not support the parameter `logprobs`"),
        ["logprobs"],
    ),
]

# not rejected parameters: values out of range, what the user asks, other errors
OTHERS = [
    (
        "https://platform.openai.com/docs/guides/error-codes [I]",
        400,
        openai(
            "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas "
            "you provided 100000.",
            "max_tokens",
            "invalid_value",
        ),
    ),
    (
        "https://platform.openai.com/docs/guides/error-codes [I]",
        400,
        openai(
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 5 instead.",
            "temperature",
            "decimal_above_max_value",
        ),
    ),
    (
        GITHUB + "FbayDTU in earendil-works/pi/issues/3764 (Groq)",
        400,
        openai(
            "'reasoning_effort' : value is not one of the allowed values ['none', 'default', 'low', "
            "'medium', 'high']"
        ),
    ),
    (
        GITHUB + "iamsrikanthnani/pluely/pull/219 (Groq)",
        400,
        openai("`reasoning_effort` must be one of `none` or `default`"),
    ),
    (
        "pydantic: less_than_equal [I]",
        422,
        {
            "detail": [
                {
                    "type": "less_than_equal",
                    "loc": ["body", "temperature"],
                    "msg": "Input should be less than or equal to 2",
                    "input": 5,
                }
            ]
        },
    ),
    (
        GITHUB + "tencentmusic/supersonic/issues/2355 (DashScope)",
        400,
        openai("parameter.enable_thinking must be set to false for non-streaming calls"),
    ),
    (
        GITHUB + "QwenLM/Qwen-Agent/issues/941 (DashScope)",
        400,
        openai(
            "<400> InternalError.Algo.InvalidParameter: The thinking_budget parameter must be a positive "
            "integer and not greater than 0"
        ),
    ),
    (
        GITHUB + "nomtek/mistralai_client_dart/issues/44 (Mistral)",
        422,
        {
            "object": "error",
            "message": {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "messages", 0, "user", "name"],
                        "msg": "Extra inputs are not permitted",
                        "input": None,
                    }
                ]
            },
            "type": REQUEST,
        },
    ),
    (
        GITHUB + "anthropics/claude-code/issues/4378",
        400,
        {
            "type": "error",
            "error": {
                "type": REQUEST,
                "message": "messages.65.content.1.tool_use.text: Extra inputs are not permitted",
            },
        },
    ),
    (
        GITHUB + "caozhiyuan/copilot-api/issues/145",
        400,
        {"message": "system.1.cache_control.ephemeral.scope: Extra inputs are not permitted"},
    ),
    (
        GITHUB + "odysseus-dev/odysseus/issues/103 (vLLM)",
        400,
        openai(
            "1 validation error for UserMessage metadata Extra inputs are not permitted "
            "[type=extra_forbidden, input_value={'_db_id': '7ce1'}, input_type=dict]"
        ),
    ),
    (
        GITHUB + "janhq/jan/issues/8136 (Groq)",
        400,
        openai(
            "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property "
            "'reasoning_content' is unsupported)]"
        ),
    ),
    (
        GITHUB + "zed-industries/zed/issues/44875 (Gemini)",
        400,
        openai(
            'Invalid JSON payload received. Unknown name "const" at '
            "'tools[0].function_declarations[5].parameters.properties[8].value.any_of[0]': Cannot find field."
        ),
    ),
    (
        "https://platform.openai.com/docs/guides/structured-outputs [I]",
        400,
        openai(
            "Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is required "
            "to be supplied and to be false.",
            "response_format",
            None,
        ),
    ),
    (
        "https://platform.openai.com/docs/guides/error-codes [I]",
        401,
        openai(
            "Incorrect API key provided. The parameter 'key' is not supported.",
            None,
            "invalid_api_key",
        ),
    ),
    (
        "https://platform.openai.com/docs/guides/error-codes [I]",
        404,
        openai(
            "The model 'gpt-9' does not exist or you do not have access to it.",
            None,
            "model_not_found",
        ),
    ),
]
