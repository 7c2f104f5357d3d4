/**
 * Prompts in A1111's syntax as the condition at each call of the network (`get_multicond_learned_conditioning`, modules/prompt_parser.py, and
 * FrozenCLIPEmbedderWithCustomWords, modules/sd_hijack_clip.py, v1.10.1).
 *
 * Every distinct sequence of tokens is encoded once. The texts of one prompt's schedule have contexts of one length, the shorter ones with
 * empty sequences; prompts joined by AND are extended to the longest by repeating their last vector.
 */

import type { ComposedPrompt } from '../diffusion/composed-guidance.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { emptyChunk, type PromptChunk, promptChunks } from '../prompt/chunks.ts';
import { withoutComments } from '../prompt/comments.ts';
import { promptParts } from '../prompt/conjunction.ts';
import { applyEmphasis, type Emphasis } from '../prompt/emphasis.ts';
import { promptSchedule, type ScheduledText, type ScheduleOptions, scheduledIndex } from '../prompt/schedule.ts';
import { concatenate } from '../tensor/arithmetic.ts';
import { joinBatches, type NetworkInputs, takeBatch, takeInputs } from '../tensor/batches.ts';
import { expectDType, type Tensor } from '../tensor/tensor.ts';
import type { ClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import type { ConditionedModel, Conditioner, PictureSizes, TextEncoding } from './conditioner.ts';

/** A1111's options of prompts, with its defaults. */
export interface PromptSettings {
  /** How weights of words apply. Default `Original`. */
  readonly emphasis?: Emphasis | undefined;
  /** Maximum distance of a comma for a sequence of 75 tokens to end after it; 0 splits anywhere. Default 20. */
  readonly commaBacktrack?: number | undefined;
  /** Steps of the pass before this one: prompt schedules count on from there. */
  readonly firstPassSteps?: number | undefined;
  /** Schedules as before A1111 1.6: numbers below 1 are fractions of the steps, and a second pass starts over. Default false. */
  readonly oldScheduling?: boolean | undefined;
}

export interface PromptContextOptions extends Omit<PromptSettings, 'firstPassSteps' | 'oldScheduling'> {
  readonly schedule: ScheduleOptions;
  readonly signal?: AbortSignal | undefined;
}

/** One prompt and one negative prompt for each picture. */
export interface PromptBatch {
  readonly prompts: readonly string[];
  readonly negatives: readonly string[];
  readonly clipSkip?: number | undefined;
  /** Size conditions of every picture, for models that take them. */
  readonly sizes?: PictureSizes | undefined;
  /** Those of the negative prompts. Default: the same. */
  readonly negativeSizes?: PictureSizes | undefined;
  /** Encode an empty negative prompt, for models that take zeros in its place. Default false. */
  readonly encodesEmpty?: boolean | undefined;
}

/** A text encoding whose tokenizer is CLIP's and whose result has a vector for each token: A1111's syntax can be used with it. */
export type SyntaxEncoding = TextEncoding & { readonly tokenizer: ClipTokenizer };

/** The encoding for prompts in A1111's syntax, or undefined if the conditioner cannot take them. */
export function syntaxEncoding({ text }: Conditioner): SyntaxEncoding | undefined {
  return text?.perToken && 'profile' in text.tokenizer ? (text as SyntaxEncoding) : undefined;
}

/** More than these are a slip, or an attack: sequences of one text, prompts of one picture, sequences of a batch of pictures. */
const limits = { chunks: 32, parts: 32, encoded: 1024 } as const;
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

/** A prompt's schedule, and the inputs of each of its texts. */
interface Scheduled {
  readonly schedule: readonly ScheduledText[];
  readonly inputs: ReadonlyMap<string, NetworkInputs>;
}

/** The output of each text encoder for a sequence of tokens, cached by ids. */
type Encoded = ReadonlyMap<string, readonly NetworkInputs[]>;

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
  checkNumber(`sequences of ${length - 2} tokens in a prompt`, longest, limits.chunks);
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

/** Encodes each distinct sequence once. */
async function encodeChunks(
  text: TextEncoding,
  chunks: readonly PromptChunk[],
  clipSkip: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Encoded> {
  const distinct = [...new Map(chunks.map(({ ids }) => [ids.join(), ids])).entries()];
  checkNumber('sequences of tokens in these prompts and their schedules', distinct.length, limits.encoded);
  const encoded = new Map<string, readonly NetworkInputs[]>();
  for (let start = 0; start < distinct.length; start += encodedAtOnce) {
    throwIfAborted(signal);
    const batch = distinct.slice(start, start + encodedAtOnce);
    const outputs = await text.encodeIds(
      batch.map(([, ids]) => ids),
      { clipSkip, signal },
    );
    for (const [i, [key]] of batch.entries())
      encoded.set(
        key,
        outputs.map((inputs) => takeInputs(inputs, i, i + 1)),
      );
  }
  return encoded;
}

const contextOf = (inputs: NetworkInputs | undefined): Tensor<'float32'> =>
  expectDType(inputs?.['context'] as Tensor, 'float32', 'context');

/**
 * The inputs of each text of a schedule. The weights act on each sequence of all texts together, as often as they are in the schedule, and
 * for each text encoder by itself. Outputs without a vector per token come from the first sequence.
 */
async function inputsOfTexts(
  { schedule, texts }: Plan,
  encoded: Encoded,
  emphasis: Emphasis,
  { join }: Conditioner,
  sizes: readonly PictureSizes[] | undefined,
): Promise<ReadonlyMap<string, NetworkInputs>> {
  const all = [...texts];
  const counts = all.map(([text]) => schedule.filter(([, scheduled]) => scheduled === text).length);
  const encodedOf = (chunk: PromptChunk): readonly NetworkInputs[] => encoded.get(chunk.ids.join()) ?? [];
  const encoders = encodedOf(all[0]?.[1][0] as PromptChunk).length;
  const columns = (all[0]?.[1] ?? []).map((_, column) => {
    const chunks = all.map(([, row]) => row[column] as PromptChunk);
    return Array.from({ length: encoders }, (_unused, encoder) =>
      applyEmphasis(
        joinBatches(chunks.map((chunk) => contextOf(encodedOf(chunk)[encoder]))),
        chunks.map(({ weights }) => weights),
        emphasis,
        counts,
      ),
    );
  });
  const rows = await Promise.all(
    all.map(async ([text, chunks], i) => {
      const parts = Array.from({ length: encoders }, (_, encoder) => {
        const [first, ...rest] = columns.map((column) => takeBatch(column[encoder] as Tensor<'float32'>, i, i + 1));
        return {
          ...encodedOf(chunks[0] as PromptChunk)[encoder],
          context: concatenate([first as Tensor<'float32'>, ...rest], 1),
        };
      });
      return [text, await join(parts, { texts: [text], sizes })] as const;
    }),
  );
  return new Map(rows);
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
 * Encodes the prompts of a batch; the result gives the condition of each picture at a model call, counted from 0.
 * @throws `invalid-argument` if the model takes no such prompts, or a prompt has a weight that is not a number; `too-large`
 */
export async function promptContexts(
  { label, conditioner }: ConditionedModel,
  { prompts, negatives, clipSkip, sizes, negativeSizes = sizes, encodesEmpty = false }: PromptBatch,
  options: PromptContextOptions,
): Promise<(call: number) => readonly ComposedPrompt[]> {
  const text = syntaxEncoding(conditioner);
  if (!text) {
    throw new StableDiffusionError(
      'invalid-argument',
      `${label} has no CLIP text encoder with a context of tokens, which A1111's prompt syntax is for. Use the plain syntax.`,
    );
  }
  const { emphasis = 'Original', signal } = options;
  const images = prompts.map((prompt, i) => ({
    parts: promptParts(withoutComments(prompt)),
    negative: withoutComments(negatives[i] ?? ''),
  }));
  for (const { parts } of images) checkNumber('prompts joined by AND', parts.length, limits.parts);
  const wanted = new Set(images.flatMap(({ parts, negative }) => [negative, ...parts.map((part) => part.text)]));
  const plans = new Map([...wanted].map((prompt) => [prompt, planOf(text.tokenizer, prompt, text.length, options)]));
  const chunks = [...plans.values()].flatMap(({ texts }) => [...texts.values()].flat());
  const encoded = await encodeChunks(text, chunks, clipSkip, signal);
  const scheduledOf = async (
    wantedHere: readonly string[],
    given: PictureSizes | undefined,
  ): Promise<ReadonlyMap<string, Scheduled>> => {
    const scheduled = new Map<string, Scheduled>();
    for (const prompt of new Set(wantedHere)) {
      const plan = plans.get(prompt) as Plan;
      const inputs = await inputsOfTexts(plan, encoded, emphasis, conditioner, given && [given]);
      scheduled.set(prompt, { schedule: plan.schedule, inputs });
    }
    return scheduled;
  };
  const positive = await scheduledOf(
    images.flatMap(({ parts }) => parts.map((part) => part.text)),
    sizes,
  );
  const opposite = await scheduledOf(
    images.map(({ negative }) => negative),
    negativeSizes,
  );
  const inputsAt = (all: ReadonlyMap<string, Scheduled>, prompt: string, call: number): NetworkInputs => {
    const { schedule, inputs } = all.get(prompt) as Scheduled;
    const [, shown] = schedule[scheduledIndex(schedule, call)] as ScheduledText;
    return inputs.get(shown) as NetworkInputs;
  };
  const { zeroEmpty } = conditioner;
  const negativeAt = (prompt: string, call: number): NetworkInputs => {
    const inputs = inputsAt(opposite, prompt, call);
    return prompt === '' && zeroEmpty && !encodesEmpty ? zeroEmpty(inputs, [true]) : inputs;
  };
  return (call) =>
    images.map(({ parts, negative }) => {
      const inputs = parts.map((part) => inputsAt(positive, part.text, call));
      const longest = Math.max(...inputs.map((one) => contextOf(one).shape[1] ?? 0));
      return {
        parts: parts.map(({ weight }, i) => ({
          weight,
          condition: { ...inputs[i], context: lengthened(contextOf(inputs[i]), longest) },
        })),
        unconditional: negativeAt(negative, call),
      };
    });
}
