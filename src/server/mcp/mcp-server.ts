/**
 * A server of the Model Context Protocol (modelcontextprotocol.io), for assistants that call tools: pictures from a text, changes of a picture,
 * the list of models. Pictures come back as images, and lie in a folder by whose names they can be changed further.
 */

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import * as z from 'zod';
import { StableDiffusionError } from '../../errors.ts';
import { bounds } from '../../generation/bounds.ts';
import type { TaskOptions } from '../../generation/inputs.ts';
import { nodeImageCodec } from '../../image/codec/codec-node.ts';
import { fitImage } from '../../image/fit-image.ts';
import { flatten, type Image } from '../../image/image.ts';
import type { Model } from '../../model/model.ts';
import type { GeneratedImage } from '../../pipelines/events.ts';
import { generate } from '../../pipelines/generate.ts';
import { encodeImage } from '../../pipelines/image-files-node.ts';
import { pictures } from '../../pipelines/pictures.ts';
import type { ModelCatalog } from '../models/model-catalog.ts';
import type { ModelPool } from '../models/model-pool.ts';
import type { PictureFolder } from '../store/picture-folder.ts';

export interface McpOptions {
  readonly catalog: ModelCatalog;
  readonly models: ModelPool;
  readonly outputs: PictureFolder;
  readonly version: string;
  /** A whole number from 0 to below `limit`. */
  readonly random: (limit: number) => number;
}

/** Steps and pixels of one call: an assistant waits for it. */
const limits = { steps: 150, side: 2048, pictures: 4, inputBytes: 32 * 2 ** 20 };
/** The one caller. */
const owner = 'mcp';

const shared = {
  prompt: z.string().min(1).max(10_000).describe('what the picture shows'),
  negative_prompt: z.string().max(10_000).optional().describe('what it must not show'),
  model: z.string().max(1000).optional().describe('a name of list_models; default: the first'),
  steps: z.int().min(1).max(limits.steps).optional().describe("sampling steps; default: the model's own"),
  guidance_scale: z
    .number()
    .min(bounds.guidance.min)
    .max(bounds.guidance.max)
    .optional()
    .describe('how closely to follow the prompt'),
  sampler: z.string().max(200).optional().describe('for example "DPM++ 2M Karras"'),
  seed: z.int().min(0).optional().describe('the same seed gives the same picture; default: any'),
  count: z.int().min(1).max(limits.pictures).optional().describe('number of pictures; default: 1'),
};
const size = z.int().min(64).max(limits.side).optional();

interface Shared {
  readonly prompt: string;
  readonly negative_prompt?: string | undefined;
  readonly steps?: number | undefined;
  readonly guidance_scale?: number | undefined;
  readonly sampler?: string | undefined;
  readonly seed?: number | undefined;
  readonly count?: number | undefined;
}

/** What the SDK gives a tool beside its arguments. */
interface Extra {
  readonly signal: AbortSignal;
  readonly _meta?: { readonly progressToken?: string | number | undefined } | undefined;
  readonly sendNotification: (notification: {
    readonly method: 'notifications/progress';
    readonly params: { readonly progressToken: string | number; readonly progress: number; readonly total: number };
  }) => Promise<void>;
}

const failed = (error: unknown): CallToolResult => ({
  isError: true,
  content: [
    {
      type: 'text',
      text:
        error instanceof StableDiffusionError
          ? `${error.message} [${error.code}]`
          : 'The server failed while it made this.',
    },
  ],
});

/** A multiple of the model's unit. */
const fitting = (side: number, unit: number): number => Math.max(unit, Math.round(side / unit) * unit);

/** Calls that wait. An assistant may send many at once, and each needs the memory of a whole run. */
const mostWaiting = 16;

/** Runs one piece of work after another. Throws `busy` when too many wait. */
function oneAfterAnother() {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (waiting >= mostWaiting)
      throw new StableDiffusionError('busy', `${mostWaiting} calls wait already. Call again when one of them is done.`);
    waiting++;
    const mine = last.then(work).finally(() => waiting--);
    last = mine.catch(() => {});
    return mine;
  };
}

/** What the tools share. */
function createStudio({ models, catalog, outputs, random }: McpOptions) {
  const inTurn = oneAfterAnother();
  return {
    /** Runs a request and tells the client of each step. */
    async run(
      model: Model,
      request: object,
      { signal, _meta, sendNotification }: Extra,
    ): Promise<readonly GeneratedImage[]> {
      const token = _meta?.progressToken;
      // The schema checks the options.
      return pictures(generate(model, { ...request, signal } as TaskOptions), {
        onStep({ step, steps }) {
          if (token === undefined) return;
          const params = { progressToken: token, progress: step, total: steps };
          sendNotification({ method: 'notifications/progress', params }).catch(() => {});
        },
      });
    },
    requestOf: (given: Shared): object => ({
      prompt: given.prompt,
      negativePrompt: given.negative_prompt,
      steps: given.steps,
      guidanceScale: given.guidance_scale,
      sampler: given.sampler,
      seed: given.seed ?? random(2 ** 32),
      batchSize: given.count,
    }),
    /** Keeps the pictures, and gives them with their names. */
    async resultOf(made: readonly GeneratedImage[]): Promise<CallToolResult> {
      const content: CallToolResult['content'] = [];
      for (const picture of made) {
        const bytes = await encodeImage(picture);
        const { seed } = picture.record;
        const name = await outputs.save({ owner, seed, ending: 'png', bytes });
        content.push({ type: 'image', mimeType: 'image/png', data: Buffer.from(bytes).toString('base64') });
        content.push({
          type: 'text',
          text: `${name} (seed ${seed}, ${picture.image.width} x ${picture.image.height})`,
        });
      }
      return { content };
    },
    async withModel(
      name: string | undefined,
      work: (model: Model) => Promise<CallToolResult>,
    ): Promise<CallToolResult> {
      try {
        const { name: found } = catalog.find(name);
        return await inTurn(async () => {
          const loaded = await models.acquire(found);
          try {
            return await work(loaded.model);
          } finally {
            loaded.release();
          }
        });
      } catch (error) {
        return failed(error);
      }
    },
    /** A picture by the name it was kept under, or as base64. */
    async pictureOf(text: string): Promise<Image<3>> {
      const kept = await outputs.read(owner, text);
      const bytes = kept ?? new Uint8Array(Buffer.from(text.replace(/^data:[^,]{0,100},/, ''), 'base64'));
      if (bytes.length > limits.inputBytes)
        throw new StableDiffusionError('too-large', `The picture has more than ${limits.inputBytes} bytes.`);
      return flatten(await nodeImageCodec.decode(bytes, { maxPixels: 2 ** 24 }));
    },
  };
}
type Studio = ReturnType<typeof createStudio>;

function addGenerate(server: McpServer, { withModel, run, requestOf, resultOf }: Studio): void {
  server.registerTool(
    'generate_image',
    {
      title: 'Generate an image',
      description: 'Makes pictures from a text with Stable Diffusion.',
      inputSchema: { ...shared, width: size, height: size },
    },
    ({ model: name, width, height, ...given }, extra) =>
      withModel(name, async (model) => {
        const side = (value: number | undefined) => (value === undefined ? undefined : fitting(value, model.unit));
        const sides = { width: side(width), height: side(height) };
        return resultOf(await run(model, { task: 'txt2img', ...requestOf(given), ...sides }, extra));
      }),
  );
}

function addEdit(server: McpServer, { withModel, run, requestOf, resultOf, pictureOf }: Studio): void {
  server.registerTool(
    'edit_image',
    {
      title: 'Edit an image',
      description: 'Changes a picture after a text; with a mask, only where the mask is white.',
      inputSchema: {
        ...shared,
        image: z.string().min(1).describe('the name of a picture that was made before, or base64'),
        mask: z.string().min(1).optional().describe('black and white, as image'),
        strength: z
          .number()
          .min(0)
          .max(1)
          .optional()
          .describe('0 keeps the picture, 1 ignores it; default: 0.75, with a mask 1'),
      },
    },
    ({ model: name, image: picture, mask: sketch, strength, ...given }, extra) =>
      withModel(name, async (model) => {
        const whole = await pictureOf(picture);
        const scale = Math.min(1, limits.side / Math.max(whole.width, whole.height));
        const width = fitting(whole.width * scale, model.unit);
        const height = fitting(whole.height * scale, model.unit);
        const sized = (image: Image<3>): Image<3> => fitImage(image, width, height, 'stretch');
        const request = { ...requestOf(given), width, height, strength, image: sized(whole) };
        if (sketch === undefined) return resultOf(await run(model, { task: 'img2img', ...request }, extra));
        const mask = sized(await pictureOf(sketch));
        return resultOf(await run(model, { task: 'inpaint', ...request, mask }, extra));
      }),
  );
}

function addModels(server: McpServer, catalog: ModelCatalog): void {
  server.registerTool(
    'list_models',
    {
      title: 'List models',
      description: 'The models that pictures can be made with; the first is the default.',
      annotations: { readOnlyHint: true },
    },
    async () => {
      await catalog.refresh();
      const names = catalog.list().map(({ name }) => name);
      return { content: [{ type: 'text', text: names.join('\n') }] };
    },
  );
}

export function createMcpServer(options: McpOptions): McpServer {
  const server = new McpServer({ name: 'stable-diffusion-ts', version: options.version });
  const studio = createStudio(options);
  addGenerate(server, studio);
  addEdit(server, studio);
  addModels(server, options.catalog);
  return server;
}
