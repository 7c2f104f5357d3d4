/** The fields of a request that say what is in the picture: prompts, classes, boxes. */

import * as z from 'zod';
import { emphases } from '../prompt/emphasis.ts';
import { bounds } from './bounds.ts';
import { flag, list, oneOf, real, text, whole } from './fields.ts';

export const promptSyntaxes = ['plain', 'a1111'] as const;
/** @public The page uses it. */
export type PromptSyntax = (typeof promptSyntaxes)[number];

const { promptLength, batchSize, iterations } = bounds;
const prompt = () => text(promptLength.max);
const prompts = () => list(prompt(), 'prompts', 0, batchSize.max);
const promptOrPrompts = () => z.union([prompt(), prompts()], { error: 'a text, or a list of texts' });

/** A1111's options of prompts. */
const promptSettingsSchema = z
  .strictObject(
    {
      /** How weights of words apply. Default `Original`. */
      emphasis: oneOf(emphases).optional(),
      /** A chunk of 75 tokens ends at a comma that is at most this many tokens back; 0 ends chunks anywhere. Default 20. */
      commaBacktrack: whole(bounds.commaBacktrack).optional(),
      /** Steps of the pass before this one: prompt schedules continue from there. */
      firstPassSteps: whole(bounds.steps).optional(),
      /** Schedules as before A1111 1.6: a number below 1 is a share of the steps, and a second pass starts the schedule again. Default false. */
      oldScheduling: flag().optional(),
    },
    { error: 'an object of prompt settings' },
  )
  .readonly();

const boxSchema = z
  .strictObject(
    {
      /** Number of its class, from 0. */
      class: whole(bounds.classLabel),
      /** Left, top, width and height as shares of the picture. */
      box: z.tuple([real(bounds.share), real(bounds.share), real(bounds.share), real(bounds.share)]).readonly(),
      isGroup: flag().optional(),
      isOccluded: flag().optional(),
      isDepiction: flag().optional(),
      isInside: flag().optional(),
    },
    { error: 'an object of class and box' },
  )
  .readonly();

/** Boxes of a layout. */
export const boxesSchema = list(boxSchema, 'boxes', bounds.boxes.min, bounds.boxes.max);

export const promptFields = {
  /** One prompt for all images of a batch, or one for each. Class-conditional models take `classLabels` instead. */
  prompt: promptOrPrompts().optional(),
  /** Several batches of prompts instead, one after the other (`--from-file` of CompVis's scripts). Each iteration runs all of them and continues the random stream. Each batch counts as an iteration in events and records. */
  promptBatches: list(list(prompt(), 'prompts', 1, batchSize.max), 'batches', 1, iterations.max).optional(),
  /** One negative prompt for all images of a batch, or one for each. Default: empty. */
  negativePrompt: promptOrPrompts().default(''),
  /** How prompts are read: `plain`, as CompVis, where brackets are text and tokens beyond the 75th are cut; or `a1111`, with weights (`(word:1.3)`), schedules (`[from:to:0.5]`, `[a|b]`), `AND`, `BREAK`, comments and any length. Default `plain`. */
  promptSyntax: oneOf(promptSyntaxes).default('plain'),
  /** Options of A1111's syntax. */
  promptSettings: promptSettingsSchema.optional(),
  /** Classes of a class-conditional model: one for each image, repeated if there are fewer. */
  classLabels: list(whole(bounds.classLabel), 'classes', 1, batchSize.max).optional(),
  /** Models of layouts: the objects of the pictures. */
  boxes: boxesSchema.optional(),
  /** Models of layouts: the number of classes that the model was trained with. Needed for boxes of groups and of occluded, depicted or inner objects. */
  boxClasses: whole({ min: 1, max: bounds.classLabel.max }).optional(),
  /** Models with T5's text encoder (DeepFloyd IF): clean prompts as the captions that they were trained with: no links, markup, names of files, … Else they are put in lower case only. Default true. */
  cleanCaption: flag().optional(),
  /** Layer of CLIP's text encoder to use: 1 is the last, 2 the one before it. Default 1. */
  clipSkip: whole(bounds.clipSkip).default(1),
};
