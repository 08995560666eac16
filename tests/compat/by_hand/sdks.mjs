// The JavaScript SDKs against a running daemon: node sdks.mjs http://127.0.0.1:11411 MODEL
// `run`, beside this, makes its environment: npm install openai ollama @anthropic-ai/sdk ai@5 @ai-sdk/openai-compatible@1 zod@3
import assert from "node:assert/strict";
import OpenAI from "openai";
import { Ollama } from "ollama";
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, streamText } from "ai";

const [base, model] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: "none", maxRetries: 0 });
const ollama = new Ollama({ host: base });
const anthropic = new Anthropic({ baseURL: base, apiKey: "none", maxRetries: 0 });
const compatible = createOpenAICompatible({ name: "localmind", baseURL: `${base}/v1`, includeUsage: true });
const messages = [{ role: "user", content: "Say hi." }];
const parameters = { type: "object", properties: { city: { type: "string", maxLength: 8 } }, required: ["city"] };
const tool = { type: "function", function: { name: "weather", parameters } };
const options = { num_predict: 6, temperature: 0 };

const cases = {
  async "openai chat"() {
    const answer = await openai.chat.completions.create({ model, messages, max_tokens: 6 });
    assert.ok(answer.choices[0].message.content);
  },
  async "openai stream with usage"() {
    const stream = openai.chat.completions.stream({ model, messages, max_tokens: 6, stream_options: { include_usage: true } });
    assert.ok((await stream.finalChatCompletion()).usage.total_tokens > 6);
  },
  async "openai tool"() {
    const stream = openai.chat.completions.stream({ model, messages, tools: [tool], tool_choice: "required" });
    const [call] = (await stream.finalChatCompletion()).choices[0].message.tool_calls;
    assert.ok("city" in JSON.parse(call.function.arguments));
  },
  async "openai embeddings"() {
    const { data } = await openai.embeddings.create({ model: "all-minilm", input: ["a", "b"] });
    assert.ok(data[1].embedding.length > 16 && Math.abs(data[1].embedding.reduce((s, x) => s + x * x, 0) - 1) < 1e-3);
  },
  async "openai responses"() {
    const first = await openai.responses.create({ model, input: "Say hi.", max_output_tokens: 6 });
    const next = await openai.responses.create({ model, input: "And?", previous_response_id: first.id, max_output_tokens: 2 });
    assert.equal(next.previous_response_id, first.id);
  },
  async "openai responses stream"() {
    const kinds = [];
    for await (const event of await openai.responses.create({ model, input: "hi", max_output_tokens: 4, stream: true })) kinds.push(event.type);
    assert.equal(kinds[0], "response.created");
    assert.match(kinds.at(-1), /response\.(completed|incomplete)/);
  },
  async "openai error"() {
    await assert.rejects(openai.chat.completions.create({ model: "nowhere", messages }), OpenAI.NotFoundError);
  },
  async "openai cancel"() {
    const stream = await openai.chat.completions.create({ model, messages, stream: true, max_tokens: 1000, ignore_eos: true });
    for await (const _ of stream) break;
    stream.controller.abort();
  },
  async "ollama list, show, version"() {
    assert.ok((await ollama.list()).models.some((each) => each.name === model));
    assert.ok((await ollama.show({ model })).capabilities.includes("completion"));
  },
  async "ollama chat stream"() {
    let text = "";
    for await (const part of await ollama.chat({ model, messages, options, stream: true })) text += part.message.content;
    assert.ok(text);
  },
  async "ollama generate and embed"() {
    assert.ok((await ollama.generate({ model, prompt: "Hi", options })).context.length > 1);
    assert.equal((await ollama.embed({ model: "all-minilm", input: ["a", "b"] })).embeddings.length, 2);
  },
  async "ollama schema"() {
    const said = await ollama.chat({ model, messages, format: { type: "object", properties: { n: { type: "boolean" } }, required: ["n"] }, options: { num_predict: 60 } });
    assert.equal(typeof JSON.parse(said.message.content).n, "boolean");
  },
  async "ollama error"() {
    await assert.rejects(ollama.chat({ model: "nowhere", messages }), /not found/);
  },
  async "anthropic message and count"() {
    const answer = await anthropic.messages.create({ model, messages, max_tokens: 6 });
    assert.equal(answer.usage.output_tokens, 6);
    assert.ok((await anthropic.messages.countTokens({ model, messages })).input_tokens > 3);
  },
  async "anthropic stream"() {
    const final = await anthropic.messages.stream({ model, messages, max_tokens: 6 }).finalMessage();
    assert.ok(["max_tokens", "end_turn"].includes(final.stop_reason));
  },
  async "anthropic tool"() {
    const own = { name: "weather", input_schema: parameters };
    const stream = anthropic.messages.stream({ model, messages, max_tokens: 200, tools: [own], tool_choice: { type: "any" } });
    assert.ok("city" in (await stream.finalMessage()).content.find((block) => block.type === "tool_use").input);
  },
  async "anthropic error"() {
    await assert.rejects(anthropic.messages.create({ model: "nowhere", messages, max_tokens: 1 }), Anthropic.NotFoundError);
  },
  async "ai-sdk generateText"() {
    const { usage } = await generateText({ model: compatible(model), prompt: "Say hi.", maxOutputTokens: 6 });
    assert.ok(usage.totalTokens > 6);
  },
  async "ai-sdk streamText"() {
    let failure = null;
    const result = streamText({ model: compatible(model), prompt: "Say hi.", maxOutputTokens: 6, onError: ({ error }) => (failure = error) });
    await result.consumeStream();
    assert.equal(failure, null);
    assert.ok((await result.usage).totalTokens > 6);
  },
  async "ai-sdk embedMany"() {
    const { embeddings } = await embedMany({ model: compatible.textEmbeddingModel("all-minilm"), values: ["a", "b"] });
    assert.equal(embeddings.length, 2);
  },
};

let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    console.log(`ok      ${name}`);
  } catch (problem) {
    failed += 1;
    console.log(`FAILED  ${name}: ${String(problem).slice(0, 300)}`);
  }
}
console.log(`${Object.keys(cases).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
