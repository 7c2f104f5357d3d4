/** GET /sdapi/v1/prompt-styles, and the styles of requests. */

import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';
import { type PromptStyle, styled } from '../../styles.ts';
import type { TextToImageFields } from './generation-fields.ts';

export const promptStyles = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/prompt-styles',
  summary: 'Styles of prompts, from the file of --styles',
  flavour: 'a1111',
  response: z.array(z.object({ name: z.string(), prompt: z.string(), negative_prompt: z.string() })),
  handle: async ({ styles }) =>
    json(styles.map(({ name, prompt, negativePrompt }) => ({ name, prompt, negative_prompt: negativePrompt }))),
});

type Prompts = Pick<TextToImageFields, 'prompt' | 'negative_prompt' | 'styles'> &
  Partial<Pick<TextToImageFields, 'hr_prompt' | 'hr_negative_prompt'>>;

/** The body with its styles in its prompts, as A1111 applies them. Unknown styles have no effect there either. */
export function withStyles<T extends Prompts>(styles: readonly PromptStyle[], body: T): T {
  const chosen = (body.styles ?? []).flatMap((name) => styles.find((style) => style.name === name) ?? []);
  if (chosen.length === 0) return body;
  const [texts, negatives] = [chosen.map(({ prompt }) => prompt), chosen.map(({ negativePrompt }) => negativePrompt)];
  return {
    ...body,
    prompt: styled(body.prompt ?? '', texts),
    negative_prompt: styled(body.negative_prompt ?? '', negatives),
    ...(body.hr_prompt ? { hr_prompt: styled(body.hr_prompt, texts) } : {}),
    ...(body.hr_negative_prompt ? { hr_negative_prompt: styled(body.hr_negative_prompt, negatives) } : {}),
  };
}
