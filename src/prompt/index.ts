/** A1111's prompt syntax: emphasis, prompts that change during sampling, several prompts in one, prompts of any length. */

export * from './attention.ts';
export * from './chunks.ts';
export * from './comments.ts';
export * from './conjunction.ts';
export * from './emphasis.ts';
export * from './extra-networks.ts';
export * from './schedule.ts';
export { resolveDynamicPrompt, type Wildcards } from './dynamic-prompt.ts';
