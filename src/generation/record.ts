/**
 * GenerationRecord: the settings of a picture, as stored in its file: a request, and the facts of the run that a request does not
 * have: the program, the model, digests of the input pictures and tensors, and the picture's place in its batch.
 */

import { fieldsOf } from '../arguments.ts';
import { checkRequest } from './check-request.ts';
import { precisionNames } from '../engine/precision.ts';
import * as z from 'zod';
import { type Batch, type Batches, promptsOfPicture, sizesBefore } from './batches.ts';
import { bounds } from './bounds.ts';
import { text, whole } from './fields.ts';
import type { tensorAxes } from './inputs.ts';
import { plainSeed, seedOf } from '../random/plain-seed.ts';
import { type GenerationRequest, requestSchemas } from './request.ts';
import { upgradeRecord } from './upgrade-record.ts';

/** Written into every picture. */
export { programName } from '../config/program.ts';

const digest = () => text(64).optional();

const tensorDigests = {
  latent: digest(),
  pixels: digest(),
  small: digest(),
  depth: digest(),
  imageEmbedding: digest(),
} satisfies { [K in keyof typeof tensorAxes]: z.ZodType };
/** SHA-256 of the pixels of a control's pictures, or of given embeddings. */
const pictureDigests = z
  .strictObject({
    pictures: z.array(text(64)).max(64).readonly(),
    mask: digest(),
    region: digest(),
  })
  .readonly();
export type PictureDigests = z.output<typeof pictureDigests>;

/** The fields that a record adds to its request. */
const factFields = {
  version: z.literal(2),
  program: text(200),
  /** The model's file or folder: its name, or a path below the current directory. */
  model: text(4096),
  /** SHA-256 of the model's file. */
  modelHash: digest(),
  /** Averaged weights were used. */
  ema: z.boolean().optional(),
  /** LoRAs and embeddings: `lora:NAME:0.8`, `embedding:TOKEN`. */
  adapters: z.array(text(4096)).max(1000).readonly().optional(),
  /** Precision of the networks. */
  precision: z.enum(precisionNames),
  /** SHA-256 of the pixels of the initial image and the mask, and of the values of tensors that were given. */
  digests: z
    .strictObject({
      image: digest(),
      mask: digest(),
      startNoise: digest(),
      encoded: digest(),
      ...tensorDigests,
      /** Of each control and each image prompt of the request, in their order. */
      control: z.array(pictureDigests).max(bounds.controls.max).readonly().optional(),
      imagePrompts: z.array(pictureDigests).max(bounds.controls.max).readonly().optional(),
    })
    .readonly(),
  /** Index of the image in its batch, from 0. */
  index: whole({ min: 0, max: bounds.batchSize.max - 1 }),
  /** Iteration of the image, from 1. */
  iteration: whole(bounds.iterations),
};

const { txt2img, img2img, inpaint } = requestSchemas;
const sizeFields = { width: whole(bounds.side), height: whole(bounds.side), sampler: text(200) };

const currentSchema = z.discriminatedUnion('task', [
  txt2img.extend({ ...sizeFields, ...factFields }),
  img2img.extend({ ...sizeFields, ...factFields }),
  inpaint.extend({ ...sizeFields, ...factFields }),
]);

/** Reads a record of this version or an earlier one. */
export const recordSchema = z.preprocess(upgradeRecord, currentSchema);

export type GenerationRecord = Readonly<z.output<typeof currentSchema>>;
/** The facts of a run that a record adds to its request. */
export type RecordFacts = Pick<GenerationRecord, Exclude<keyof typeof factFields, 'index' | 'iteration'>>;

/** The request in a record, the inverse of `recordOf`. */
export function requestOf(record: GenerationRecord): GenerationRequest {
  const facts: ReadonlySet<string> = new Set(Object.keys(factFields));
  const given = Object.entries(fieldsOf(record, 'The record', 'that of a picture'));
  return checkRequest(Object.fromEntries(given.filter(([name]) => !facts.has(name))));
}

/** The request that makes a record's batch again, and no other: of those before it only the noise is drawn. */
export function replayRequest(record: GenerationRecord): GenerationRequest {
  const request = requestOf(record);
  const { iteration } = record;
  return { ...request, firstIteration: iteration, iterations: iteration };
}

/** One picture of a run. */
export interface PicturePlace {
  readonly request: GenerationRequest;
  readonly batches: Batches;
  readonly batch: Batch;
  readonly index: number;
  /** True if the picture is the same when generated alone; false if the sampler depends on the whole batch. */
  readonly isIndependent: boolean;
}

/** The request of one batch of several batches of prompts: it does not hold the prompts of the others. */
function requestOfBatch(request: GenerationRequest, batches: Batches, batch: Batch): GenerationRequest {
  if (!request.promptBatches) return request;
  const before = sizesBefore(batches, batch.iteration);
  const { promptBatches: _, ...rest } = request;
  return {
    ...rest,
    prompt: batch.prompts,
    batchSize: batch.batch,
    iterations: batch.iterations,
    ...(before.some((size) => size !== batch.batch) ? { earlierBatches: before } : {}),
    ...(request.fixedCode && batches.largest !== batch.batch ? { largestBatch: batches.largest } : {}),
  };
}

/** The request of one picture with its own seed: it does not hold what the others of its batch were made from. */
function requestOfPicture(request: GenerationRequest, batch: Batch, index: number): GenerationRequest {
  const { seeds: _, noiseSettings, ...rest } = request;
  const { subseed } = noiseSettings ?? {};
  return {
    ...rest,
    ...promptsOfPicture(batch, index),
    ...(batch.classLabels ? { classLabels: [batch.classLabels[index] ?? 0] } : {}),
    ...(noiseSettings
      ? {
          noiseSettings: {
            ...noiseSettings,
            ...(subseed === undefined ? {} : { subseed: plainSeed(BigInt(seedOf(subseed)) + BigInt(index)) }),
          },
        }
      : {}),
    seed: batch.seeds?.[index] ?? request.seed,
    batchSize: 1,
  };
}

/** The record of one picture. */
export function recordOf(
  { request, batches, batch, index, isIndependent }: PicturePlace,
  facts: RecordFacts,
  resolved: { readonly width: number; readonly height: number; readonly sampler: string },
): GenerationRecord {
  const place = { iteration: batch.iteration, index };
  if (batch.seeds && isIndependent)
    return { ...requestOfPicture(request, batch, index), ...resolved, ...facts, ...place, index: 0 };
  return { ...requestOfBatch(request, batches, batch), ...resolved, ...facts, ...place };
}

/** The prompt of the picture that a record belongs to. */
export function promptOf({ prompt = '', index }: Pick<GenerationRecord, 'prompt' | 'index'>): string {
  return typeof prompt === 'string' ? prompt : (prompt[index % Math.max(1, prompt.length)] ?? '');
}
