// SDK clients for the tests, set up as an application would: base URL and key,
// nothing else. No retries unless a test asks for them.

import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';

import { RELAY_KEY } from './stack.mjs';

// What the developer's own shell sets must not decide a test.
for (const name of Object.keys(process.env)) {
  if (/^(OPENAI|ANTHROPIC|GOOGLE|GEMINI)_/.test(name)) delete process.env[name];
}

export function openai(stack, options = {}) {
  return new OpenAI({ baseURL: `${stack.url}/v1`, apiKey: RELAY_KEY, maxRetries: 0, timeout: 10000, ...options });
}

export function anthropic(stack, options = {}) {
  return new Anthropic({
    baseURL: stack.url,
    apiKey: RELAY_KEY,
    authToken: null,
    maxRetries: 0,
    timeout: 10000,
    ...options,
  });
}

// Its errors have no headers: onResponse is told of them.
export function google(stack, { onResponse, apiKey = RELAY_KEY, ...httpOptions } = {}) {
  const watched = async (url, request) => {
    const response = await fetch(url, request);
    onResponse(response);
    return response;
  };
  return new GoogleGenAI({
    apiKey,
    httpOptions: {
      baseUrl: `${stack.url}/gemini`,
      apiVersion: 'v1beta',
      timeout: 10000,
      ...(onResponse && { fetch: watched }),
      ...httpOptions,
    },
  });
}

export async function collect(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

// The error that the promise fails with.
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}
