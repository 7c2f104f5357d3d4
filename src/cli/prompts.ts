/** The prompts of a run: words, `--prompt`, or a file with one a line. */

import type { CliContext } from './command.ts';
import type { GenerationValues } from './generation-options.ts';
import { UsageError } from './options.ts';
import { textLines } from './text-lines.ts';

export interface Prompts {
  /** One for all, or one for each picture of a file. Empty where none was given. */
  readonly lines: readonly string[];
  readonly fromFile: boolean;
}

/** Throws `UsageError` where there are prompts from two places, or none in the file. */
export async function readPrompts(
  values: Pick<GenerationValues, 'prompt' | 'fromFile'>,
  words: readonly string[],
  context: CliContext,
): Promise<Prompts> {
  const given = [words.length > 0, values.prompt !== undefined, values.fromFile !== undefined].filter(Boolean).length;
  if (given > 1) throw new UsageError('The prompt was given twice: use words, --prompt or --from-file, one of them.');
  if (values.fromFile !== undefined) {
    const lines: string[] = [];
    for await (const line of textLines(values.fromFile, context.input)) lines.push(line);
    if (lines.length === 0) throw new UsageError(`${values.fromFile} holds no prompts; one a line was expected.`);
    return { lines, fromFile: true };
  }
  const prompt = values.prompt ?? (words.length > 0 ? words.join(' ') : undefined);
  return { lines: prompt === undefined ? [] : [prompt], fromFile: false };
}
