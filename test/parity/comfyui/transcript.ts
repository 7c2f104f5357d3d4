/** Transcripts of a socket compared with recorded ones, message by message, and what a recorded one tells of its prompt. */

import type { Comparisons } from '../comparisons.ts';
import { differenceFrom, type Masks } from './masked.ts';
import type { SocketMessage } from './socket-client.ts';

/** Words of the program that failed are its own, and so is the order of a Python set. */
function withoutWords(message: SocketMessage): unknown {
  if (!('type' in message) || message.type !== 'execution_error') return message;
  const { exception_message: text, exception_type: type, traceback, current_outputs: outputs, ...rest } = message.data;
  return {
    type: message.type,
    data: {
      ...rest,
      exception_message: typeof text,
      exception_type: typeof type,
      traceback: Array.isArray(traceback),
      current_outputs: [...(outputs as string[])].sort(),
    },
  };
}

/** Pictures that are only shown have five random letters in their names. */
const withoutLetters = <T>(value: T): T =>
  JSON.parse(JSON.stringify(value).replace(/(ComfyUI_temp_)[a-z]{5}/g, '$1letters')) as T;

export function compareTranscript(
  name: string,
  got: readonly SocketMessage[],
  want: readonly SocketMessage[],
  masks: Masks,
  compare: Comparisons,
): void {
  const kinds = (messages: readonly SocketMessage[]): string =>
    messages.map((message) => ('type' in message ? message.type : 'binary')).join(' ');
  compare.exact(`${name}: order of messages`, kinds(got), kinds(want));
  for (const [i, message] of want.entries()) {
    const ours = got[i];
    const difference =
      ours === undefined
        ? 'missing'
        : differenceFrom(withoutLetters(withoutWords(ours)), withoutLetters(withoutWords(message)), masks);
    compare.exact(`${name}: message ${i}`, difference, undefined);
  }
}

const dataOf = (messages: readonly SocketMessage[], type: string): Record<string, unknown> | undefined =>
  messages.flatMap((message) => ('type' in message && message.type === type ? [message.data] : []))[0];

/** Steps of the sampler: the end of its progress. */
export const stepsIn = (messages: readonly SocketMessage[]): number =>
  Number(dataOf(messages, 'progress')?.['max'] ?? 3);

/** The prefix of the pictures' names, with its folder. */
export function prefixIn(messages: readonly SocketMessage[], otherwise: string): string {
  const output = (dataOf(messages, 'executed')?.['output'] ?? {}) as Record<
    string,
    { filename: string; subfolder: string }[]
  >;
  const file = Object.values(output)[0]?.[0];
  const name = file?.filename.replace(/_\d{5}_\.\w+$/, '') ?? otherwise;
  return file?.subfolder ? `${file.subfolder}/${name}` : name;
}
