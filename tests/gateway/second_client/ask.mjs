// Asks a gateway everything that the tests want to know with Vercel's AI SDK, and prints what came back as JSON.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embedMany, generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const gateway = createOpenAICompatible({
  name: 'lifeloop',
  baseURL: process.argv[2],
  apiKey: 'none',
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = gateway('desk');
const weather = tool({
  description: 'Weather of a city',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});

const whole = await generateText({ model, prompt: 'hello' });
const stream = streamText({ model, prompt: 'hello' });
const pieces = [];
for await (const piece of stream.textStream) pieces.push(piece);
const withTool = await generateText({ model, prompt: 'weather?', tools: { weather }, stopWhen: stepCountIs(3) });
const toolStream = streamText({ model, prompt: 'weather?', tools: { weather }, stopWhen: stepCountIs(3) });
let streamedWithTool = '';
for await (const piece of toolStream.textStream) streamedWithTool += piece;
const object = await generateObject({ model, prompt: 'who?', schema: z.object({ name: z.string(), age: z.number().int() }) });
const vectors = await embedMany({ model: gateway.embeddingModel('desk'), values: ['four', 'seven..'] });
let error = {};
try {
  await generateText({ model: gateway('nobody'), prompt: 'hello', maxRetries: 0 });
} catch (caught) {
  error = { isApiError: APICallError.isInstance(caught), status: caught.statusCode, message: caught.message };
}

console.log(JSON.stringify({
  text: whole.text,
  usage: whole.usage.totalTokens,
  reason: whole.finishReason,
  streamed: pieces.join(''),
  streamedUsage: (await stream.usage).totalTokens,
  withTool: withTool.text,
  steps: withTool.steps.length,
  streamedWithTool,
  object: object.object,
  vectors: vectors.embeddings,
  error,
}));
