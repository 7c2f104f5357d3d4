/** A1111's scripts "Loopback" and "SD upscale" (scripts/loopback.py, scripts/sd_upscale.py, v1.10.1): image to image, again and again. */

import { plainGrid } from '../../../../image/grid-legend.ts';
import { nodeImageCodec } from '../../../../image/codec/codec-node.ts';
import type { Image } from '../../../../image/image.ts';
import { combineGrid, splitGrid, tilePositions } from '../../../../image/tile-grid.ts';
import { decideJob, type JobDraft } from '../../../decide-job.ts';
import { storePicture } from '../../../http/picture-input.ts';
import type { Answer } from '../../../http/route.ts';
import { enlargeOffThread } from '../../../run/picture-thread.ts';
import { fieldNames } from '../field-names.ts';
import { upscalerNamed, upscalerNames } from '../upscaler-table.ts';
import {
  answerScript,
  checkCount,
  composed,
  decideAll,
  firstMade,
  fixedSeeds,
  type Made,
  makeAll,
  makeOne,
  pictureOf,
  type Shown,
  shownOf,
  storedPicture,
} from './cells.ts';
import type { Script, ScriptCall } from './script.ts';

const curves = ['Aggressive', 'Linear', 'Lazy'] as const;

/** Strength of a loop: from the first to the last along a curve. */
function strengthAt(loop: number, loops: number, from: number, to: number, curve: string): number {
  if (loops === 1) return from;
  const progress = loop / (loops - 1);
  const share =
    curve === 'Aggressive'
      ? Math.sin((progress * Math.PI) / 2)
      : curve === 'Lazy'
        ? 1 - Math.cos((progress * Math.PI) / 2)
        : progress;
  return Math.min(1, Math.max(0, from + (to - from) * share));
}

async function runLoopback(call: ScriptCall): Promise<Answer> {
  const { args } = call;
  const [loops, last, curve] = [args.whole(0), args.number(1), args.choice(2)];
  if (args.choice(3) !== 'None') args.refuse(3, 'this server has no network that describes pictures; use None');
  const body = fixedSeeds(call, { ...call.body, batch_size: 1 });
  const batches = Math.max(1, body.n_iter ?? 1);
  checkCount(call, loops * batches);
  const drafts: JobDraft[] = [];
  for (let i = 0; i < loops * batches; i++) {
    const draft = await call.draftOf({ ...body, n_iter: 1, seed: Number(body.seed) + i });
    drafts.push({ ...draft, strength: strengthAt(i % loops, loops, draft.strength ?? 0.75, last, curve) });
  }
  const made: Made[] = [];
  for (const [i, request] of (await decideAll(call, drafts)).entries()) {
    const before = i % loops === 0 ? undefined : made.at(-1)?.result.images[0]?.id;
    const inpaint = before && request.inpaint ? { ...request.inpaint, fill: 'original' as const } : request.inpaint;
    const job = await makeOne(call, { ...request, inpaint, ...(before ? { image: before } : {}) }, call.caller.signal);
    made.push(job);
    if (job.result.interrupted) break;
  }
  const history = made.filter((_, i) => batches === 1 || i % loops === loops - 1);
  const like = firstMade(history);
  const pictures = await Promise.all(history.map((job) => pictureOf(call, job)));
  const grid = history.length > 1 ? [await composed(plainGrid(pictures, pictures.length), like)] : [];
  return answerScript(call, like, [...grid, ...(await shownOf(call, history))], 0);
}

export const loopbackScript: Script = {
  title: 'Loopback',
  tasks: ['img2img'],
  args: () => [
    { label: 'Loops', value: 4, minimum: 1, maximum: 32, step: 1 },
    { label: 'Final denoising strength', value: 0.5, minimum: 0, maximum: 1, step: 0.01 },
    { label: 'Denoising strength curve', value: 'Linear', choices: curves },
    { label: 'Append interrogated prompt at each iteration', value: 'None', choices: ['None', 'CLIP', 'DeepBooru'] },
  ],
  run: runLoopback,
};

/** The initial picture, enlarged. */
async function enlargedSource(call: ScriptCall, draft: JobDraft, scale: number, name: string): Promise<Image<3>> {
  const { context, args } = call;
  const picture = await storedPicture(call, { id: draft.image ?? '' });
  const factor = name === 'None' ? 1 : Math.max(1, scale);
  const size = { width: Math.round(picture.width * factor), height: Math.round(picture.height * factor) };
  if (size.width * size.height > context.limits.pixels)
    args.refuse(
      3,
      `the picture would have ${size.width} x ${size.height} pixels; ensure that it has at most ${context.limits.pixels}`,
    );
  return factor === 1
    ? picture
    : enlargeOffThread(picture, { ...size, crop: false, filter: upscalerNamed(name, ['body', 'script_args', '2']) });
}

async function runUpscale(call: ScriptCall): Promise<Answer> {
  const { args, context, caller } = call;
  const [overlap, scale, name] = [args.whole(1), args.number(3), args.choice(2)];
  const body = fixedSeeds(call, call.body);
  const [rounds, batch] = [Math.max(1, body.n_iter ?? 1), Math.max(1, body.batch_size ?? 1)];
  const draft = await call.draftOf({ ...body, batch_size: 1, n_iter: 1 });
  const { width, height } = await decideJob(context, draft, fieldNames, 'a1111');
  const source = await enlargedSource(call, draft, scale, name);
  if (source.width < width || source.height < height)
    args.refuse(
      3,
      `the enlarged picture (${source.width} x ${source.height}) is smaller than a tile (${width} x ${height}, width and height)`,
    );
  if (overlap >= Math.min(width, height)) args.refuse(1, 'ensure this value is smaller than the sides of a tile');
  const tilesAlong = (side: number, tile: number): number => tilePositions(side, tile, overlap).length;
  checkCount(call, tilesAlong(source.width, width) * tilesAlong(source.height, height) * rounds);
  const tiles = splitGrid(source, { width, height }, overlap);
  // As in A1111: seeds count up within a batch, and each batch begins one seed after the batch before.
  const seedOf = (round: number, i: number): number => Number(body.seed) + round + Math.floor(i / batch) + (i % batch);
  const requests = await decideAll(
    call,
    Array.from({ length: rounds * tiles.length }, (_, i): JobDraft => {
      const seed = seedOf(Math.floor(i / tiles.length), i % tiles.length);
      return { ...draft, resizeMode: 'stretch', seed };
    }),
  );
  const ids = await Promise.all(
    tiles.map(
      async ({ image }) =>
        (await storePicture(context, await nodeImageCodec.encode(image, { format: 'png' }), caller)).id,
    ),
  );
  const shown: Shown[] = [];
  let like: Made | undefined;
  for (let round = 0; round < rounds; round++) {
    const ofRound = requests.slice(round * tiles.length, (round + 1) * tiles.length);
    const made = await makeAll(
      call,
      ofRound.map((request, i) => ({ ...request, image: ids[i] })),
    );
    like ??= firstMade(made);
    const pictures = await Promise.all(made.map((job) => pictureOf(call, job)));
    const whole = combineGrid(
      tiles.map((tile, i) => ({ ...tile, image: pictures[i] ?? tile.image })),
      source.width,
      source.height,
      overlap,
    );
    shown.push(await composed(whole, like, { 'SD upscale overlap': String(overlap), 'SD upscale upscaler': name }));
    if (made.includes(undefined)) break;
  }
  return answerScript(call, like ?? firstMade([]), shown, 0);
}

export const upscaleScript: Script = {
  title: 'SD upscale',
  tasks: ['img2img'],
  args: () => [
    { label: '', value: '' },
    { label: 'Tile overlap', value: 64, minimum: 0, maximum: 256, step: 16 },
    { label: 'Upscaler', value: 'None', choices: Object.keys(upscalerNames) },
    { label: 'Scale Factor', value: 2, minimum: 0, maximum: 4, step: 0.05 },
  ],
  run: runUpscale,
};
