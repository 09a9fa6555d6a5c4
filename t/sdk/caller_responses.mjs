// A row of callers.mjs: OpenAI's SDK with Responses.

import assert from 'node:assert/strict';

import OpenAI from 'openai';
import { zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';

import { clientOptions, filled, options, present, sdkFailed } from './calling.mjs';
import { openai } from './clients.mjs';

function content({ text, images }) {
  if (!images) return text;
  return [
    ...images.map(({ media_type, data, url = `data:${media_type};base64,${data}` }) =>
      media_type === 'application/pdf'
        ? { type: 'input_file', filename: 'a.pdf', file_data: url }
        : { type: 'input_image', image_url: url, detail: 'auto' },
    ),
    { type: 'input_text', text },
  ];
}

function input(messages) {
  return messages.flatMap(({ role, text, images, calls, results }) => [
    ...(results ?? []).map(({ id, text: output }) => ({ type: 'function_call_output', call_id: id, output })),
    ...(text === undefined ? [] : [{ role, content: content({ text, images }) }]),
    ...(calls ?? []).map(({ id, name, input: value }) => ({
      type: 'function_call',
      call_id: id,
      name,
      arguments: JSON.stringify(value),
    })),
  ]);
}

function body(request) {
  const named = request.tools?.some(({ name }) => name === request.choice);
  return present({
    model: request.model,
    store: false,
    instructions: request.system,
    input: input(request.messages),
    tools: request.tools?.map(({ name, description, schema }) => ({
      type: 'function',
      name,
      description,
      parameters: schema,
      strict: false,
    })),
    tool_choice: named ? { type: 'function', name: request.choice } : request.choice,
    parallel_tool_calls: request.serial ? false : undefined,
    max_output_tokens: request.max_tokens,
  });
}

function stopOf({ status, incomplete_details, error }, { refusal, calls }) {
  assert.equal(error, null);
  if (refusal || incomplete_details?.reason === 'content_filter') return 'refusal';
  if (status === 'incomplete') return incomplete_details.reason === 'max_output_tokens' ? 'length' : undefined;
  return calls.length ? 'tools' : 'end';
}

function answer(response) {
  const { id, model, output, usage } = response;
  assert.ok(id.length > 0 && model.length > 0, 'the answer has an id and a model');
  const of = (kind) => output.filter(({ type }) => type === kind);
  const parts = of('message').flatMap((message) => message.content);
  const refusal = parts.find(({ type }) => type === 'refusal')?.refusal;
  const calls = of('function_call').map((call) => ({
    id: call.call_id,
    name: call.name,
    input: JSON.parse(call.arguments),
  }));
  return present({
    text: refusal ?? response.output_text,
    calls: filled(calls),
    thinking: of('reasoning').flatMap(({ summary }) => summary)[0]?.text,
    stop: stopOf(response, { refusal, calls }),
    usage: {
      input: usage.input_tokens,
      cached: usage.input_tokens_details.cached_tokens,
      written: usage.input_tokens_details.cache_write_tokens,
      output: usage.output_tokens,
      reasoning: usage.output_tokens_details.reasoning_tokens,
    },
  });
}

function streamed(stack, request, more = {}) {
  const stream = openai(stack, clientOptions(more)).responses.stream(request, options(more));
  stream.on('response.output_text.delta', ({ delta }) => more.onText?.(delta));
  // Its helper hands on the failed answer as if it were one.
  stream.on('response.failed', ({ response: { error } }) => {
    throw new OpenAI.APIError(undefined, { ...error, type: error.code }, error.message, undefined);
  });
  return stream.finalResponse();
}

export const responses = {
  name: 'openai, Responses',
  format: 'openai-responses',
  dialect: 'openai',
  tells: { sequence: false, thinking: true, unsigned: true },
  returns: ['create', 'stream'],
  takes: { stop: false, url: true, serial: true },
  errors: { limited: 'rate_limit_error', overloaded: 'service_unavailable_error', failed: 'server_error' },
  async create(stack, request, more = {}) {
    const { data, response } = await openai(stack, clientOptions(more))
      .responses.create(body(request), options(more))
      .withResponse();
    return { ...answer(data), headers: response.headers };
  },
  async stream(stack, request, more = {}) {
    return answer(await streamed(stack, body(request), more));
  },
  // There is no helper that does it all: one parses what the tool is called with.
  async run(stack, request, handler, { stream }) {
    const tools = request.tools.map(({ name, description, zod }) =>
      zodResponsesFunction({ name, description, parameters: zod }),
    );
    const said = input(request.messages);
    for (let turns = 0; turns < 3; turns += 1) {
      const asked = { ...body(request), input: said, tools };
      const response = await (stream ? streamed(stack, asked) : openai(stack).responses.parse(asked));
      const calls = response.output.filter(({ type }) => type === 'function_call');
      if (!calls.length) return answer(response);
      said.push(...response.output);
      for (const { call_id, parsed_arguments } of calls) {
        said.push({ type: 'function_call_output', call_id, output: await handler(parsed_arguments) });
      }
    }
    throw new Error('the calls do not end');
  },
  async parse(stack, request, schema, { stream }) {
    const asked = { ...body(request), text: { format: zodTextFormat(schema, 'weather') } };
    const response = await (stream ? streamed(stack, asked) : openai(stack).responses.parse(asked));
    return response.output_parsed;
  },
  failed: (error) => sdkFailed(error, OpenAI, error.error),
};
