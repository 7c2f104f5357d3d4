/**
 * Prompts in A1111's syntax as what the UNet is told at each of its calls (`get_multicond_learned_conditioning`, modules/prompt_parser.py, and
 * FrozenCLIPEmbedderWithCustomWords, modules/sd_hijack_clip.py, v1.10.1).
 *
 * Every distinct sequence of tokens is encoded once. The texts of one prompt's schedule have contexts of one length, the shorter ones with
 * empty sequences behind them; the prompts that AND joins are made as long as the longest by repeating their last vector.
 */

import type { ComposedPrompt } from '../diffusion/composed-guidance.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { emptyChunk, type PromptChunk, promptChunks } from '../prompt/chunks.ts';
import { withoutComments } from '../prompt/comments.ts';
import { promptParts } from '../prompt/conjunction.ts';
import { applyEmphasis, type Emphasis } from '../prompt/emphasis.ts';
import { promptSchedule, type ScheduledText, type ScheduleOptions, scheduledIndex } from '../prompt/schedule.ts';
import { concatenate } from '../tensor/arithmetic.ts';
import { joinBatches, takeBatch } from '../tensor/batches.ts';
import { int64, type Tensor } from '../tensor/tensor.ts';
import type { ClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import type { BatchSettings } from '../generation/batches.ts';
import type { Model } from '../model/model.ts';

/** A1111's options of prompts, with its defaults. */
export interface PromptSettings {
  /** What the weights of words do. Default `Original`. */
  readonly emphasis?: Emphasis | undefined;
  /** How far back a comma may be for a sequence of 75 tokens to end behind it; 0 ends them anywhere. Default 20. */
  readonly commaBacktrack?: number | undefined;
  /** Steps of the pass before this one: prompt schedules count on from there. */
  readonly firstPassSteps?: number | undefined;
  /** Schedules as before A1111 1.6: what is below 1 is a share of the steps, and a second pass begins anew. Default false. */
  readonly oldScheduling?: boolean | undefined;
}

export interface PromptContextOptions extends Omit<PromptSettings, 'firstPassSteps' | 'oldScheduling'> {
  readonly schedule: ScheduleOptions;
  readonly signal?: AbortSignal | undefined;
}

/** More than these are a slip, or an attack: sequences of one text, prompts of one picture, sequences of a batch of pictures. */
const most = { chunks: 32, parts: 32, encoded: 1024 } as const;
/** Sequences that are encoded at once. */
const encodedAtOnce = 32;

function checkNumber(what: string, found: number, allowed: number): void {
  if (found > allowed)
    throw new StableDiffusionError(
      'too-large',
      `There are ${found} ${what}, and at most ${allowed} can be used. Use a shorter prompt.`,
    );
}

/** A prompt's schedule, and the sequences of each of its distinct texts. */
interface Plan {
  readonly schedule: readonly ScheduledText[];
  readonly texts: ReadonlyMap<string, readonly PromptChunk[]>;
}

/** The context of one text, float32 [1, tokens, width], for every text of a schedule. */
type Contexts = ReadonlyMap<string, Tensor<'float32'>>;

function planOf(
  tokenizer: ClipTokenizer,
  prompt: string,
  length: number,
  { schedule: options, emphasis, commaBacktrack }: PromptContextOptions,
): Plan {
  const schedule = promptSchedule(prompt, options);
  const given = new Map(
    [...new Set(schedule.map(([, text]) => text))].map((text) => [
      text,
      promptChunks(tokenizer, text, { length, emphasis, commaBacktrack }).chunks,
    ]),
  );
  const longest = Math.max(...[...given.values()].map(({ length: count }) => count));
  checkNumber(`sequences of ${length - 2} tokens in a prompt`, longest, most.chunks);
  const empty = emptyChunk(tokenizer, length);
  return {
    schedule,
    texts: new Map(
      [...given].map(([text, chunks]) => [
        text,
        [...chunks, ...Array.from({ length: longest - chunks.length }, () => empty)],
      ]),
    ),
  };
}

/** What the text encoder makes of sequences, by their tokens; each distinct one is encoded once. */
async function encodeChunks(
  model: Model,
  tokenizer: ClipTokenizer,
  chunks: readonly PromptChunk[],
  clipSkip: number,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, Tensor<'float32'>>> {
  const distinct = [...new Map(chunks.map(({ ids }) => [ids.join(), ids])).entries()];
  checkNumber('sequences of tokens in these prompts and their schedules', distinct.length, most.encoded);
  const { endId, padId } = tokenizer;
  // Where padding is another token than the end, all behind the first end is padding.
  const padded = (ids: readonly number[]): readonly number[] =>
    padId === endId ? ids : ids.map((id, i) => (i > ids.indexOf(endId) ? padId : id));
  const encoded = new Map<string, Tensor<'float32'>>();
  for (let start = 0; start < distinct.length; start += encodedAtOnce) {
    throwIfAborted(signal);
    const batch = distinct.slice(start, start + encodedAtOnce);
    const shape = [batch.length, batch[0]?.[1].length ?? 0];
    const output = await model.encodeTokens(
      int64(
        shape,
        batch.flatMap(([, ids]) => padded(ids)),
      ),
      { clipSkip, signal },
    );
    for (const [i, [key]] of batch.entries()) encoded.set(key, takeBatch(output, i, i + 1));
  }
  return encoded;
}

/** The contexts of a schedule's texts. The weights act on each sequence of all texts together, as often as they are in the schedule. */
function contextsOf(
  { schedule, texts }: Plan,
  encoded: ReadonlyMap<string, Tensor<'float32'>>,
  emphasis: Emphasis,
): Contexts {
  const all = [...texts];
  const counts = all.map(([text]) => schedule.filter(([, scheduled]) => scheduled === text).length);
  const columns = (all[0]?.[1] ?? []).map((_, column) => {
    const chunks = all.map(([, row]) => row[column] as PromptChunk);
    const outputs = joinBatches(chunks.map(({ ids }) => encoded.get(ids.join()) as Tensor<'float32'>));
    return applyEmphasis(
      outputs,
      chunks.map(({ weights }) => weights),
      emphasis,
      counts,
    );
  });
  return new Map(
    all.map(([text], i) => {
      const [first, ...rest] = columns.map((column) => takeBatch(column, i, i + 1)) as [
        Tensor<'float32'>,
        ...Tensor<'float32'>[],
      ];
      return [text, concatenate([first, ...rest], 1)];
    }),
  );
}

/** The context with its last vector repeated up to a length. */
function lengthened(context: Tensor<'float32'>, length: number): Tensor<'float32'> {
  const [, tokens = 0, width = 0] = context.shape;
  if (tokens === length) return context;
  const last = context.data.subarray((tokens - 1) * width);
  const data = new Float32Array(length * width);
  data.set(context.data);
  for (let i = tokens; i < length; i++) data.set(last, i * width);
  return { ...context, shape: [1, length, width], data };
}

/**
 * Encodes the prompts of a batch; the result says what each picture is told at a model call, counted from 0.
 * @throws `invalid-argument` where the model takes no such prompts, or a prompt has a weight that is no number; `too-large`
 */
export async function promptContexts(
  model: Model,
  { prompts, negatives, clipSkip }: BatchSettings,
  options: PromptContextOptions,
): Promise<(call: number) => readonly ComposedPrompt[]> {
  const tokenizer = model.clipTokenizer;
  if (!tokenizer) {
    throw new StableDiffusionError(
      'invalid-argument',
      `${model.checkpoint.label} has no CLIP text encoder with a context of tokens, which A1111's prompt syntax is for. Use the plain syntax.`,
    );
  }
  const { emphasis = 'Original', signal } = options;
  const images = prompts.map((prompt, i) => ({
    parts: promptParts(withoutComments(prompt)),
    negative: withoutComments(negatives[i] ?? ''),
  }));
  for (const { parts } of images) checkNumber('prompts joined by AND', parts.length, most.parts);
  const wanted = new Set(images.flatMap(({ parts, negative }) => [negative, ...parts.map(({ text }) => text)]));
  const plans = new Map(
    [...wanted].map((text) => [text, planOf(tokenizer, text, model.checkpoint.config.cond_stage_max_length, options)]),
  );
  const chunks = [...plans.values()].flatMap(({ texts }) => [...texts.values()].flat());
  const encoded = await encodeChunks(model, tokenizer, chunks, clipSkip, signal);
  const scheduled = new Map(
    [...plans].map(([text, plan]) => [
      text,
      { schedule: plan.schedule, contexts: contextsOf(plan, encoded, emphasis) },
    ]),
  );
  const contextAt = (text: string, call: number): Tensor<'float32'> => {
    const { schedule, contexts } = scheduled.get(text) as {
      readonly schedule: readonly ScheduledText[];
      readonly contexts: Contexts;
    };
    const [, shown] = schedule[scheduledIndex(schedule, call)] as ScheduledText;
    return contexts.get(shown) as Tensor<'float32'>;
  };
  return (call) =>
    images.map(({ parts, negative }) => {
      const contexts = parts.map(({ text }) => contextAt(text, call));
      const longest = Math.max(...contexts.map(({ shape }) => shape[1] ?? 0));
      return {
        parts: parts.map(({ weight }, i) => ({
          weight,
          condition: { context: lengthened(contexts[i] as Tensor<'float32'>, longest) },
        })),
        unconditional: { context: contextAt(negative, call) },
      };
    });
}
