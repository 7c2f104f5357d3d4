/** The styles of a server's `styles.csv`, by A1111's API, which every server here speaks. */

import type { StyleChoice } from './picture-engine.ts';
import { ask, type ServerAddress } from './server-request.ts';

interface Row {
  readonly name: string;
  readonly prompt?: string | null;
  readonly negative_prompt?: string | null;
}

export async function serverStyles(server: ServerAddress): Promise<readonly StyleChoice[]> {
  const rows = (await (await ask(server, 'sdapi/v1/prompt-styles')).json()) as readonly Row[];
  return rows.map(({ name, prompt, negative_prompt: negative }) => ({
    name,
    prompt: prompt ?? '',
    negativePrompt: negative ?? '',
  }));
}
