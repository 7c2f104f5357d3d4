/** The controls of a job under way: their pictures become maps once, and each pass gets them with the opened networks. */

import { StableDiffusionError } from '../../errors.ts';
import { type ControlFields, controlShape, imagePromptShape, inSecondPass } from '../../generation/control-fields.ts';
import type { ControlOption, ControlOptions, ImagePromptOption } from '../../generation/control-inputs.ts';
import type { GenerationRecord } from '../../generation/record.ts';
import type { ControlLease } from '../../model/kept-controls.ts';
import type { Model } from '../../model/model.ts';
import { drawMap } from '../../pipelines/control-maps.ts';
import { findPreprocessor } from '../../preprocessors/index.ts';
import type { JobRequest, PictureJob } from '../job.ts';
import type { JobControl, JobImagePrompt } from '../job-controls.ts';
import { mapsOf, type OfPasses, type PreparedControl, type PreparedReference } from '../pictures/control-work.ts';
import type { ControlPool } from '../models/control-pool.ts';
import type { PicturePool } from '../pictures/picture-pool.ts';
import type { BlobStore } from '../store/blob-store.ts';

/** What opening controls needs of a runner. */
export interface ControlContext {
  readonly store: BlobStore;
  /** Work on pictures of callers. */
  readonly pictures: PicturePool;
  /** Control networks, and the networks of preprocessors. */
  readonly controls: ControlPool;
}

type Pass = 'first' | 'second';
type Fields = Readonly<Record<string, unknown>>;

export interface JobControls {
  /** Options of a run under the controls. The networks stay in use until `release`. Throws what opening a control network throws. */
  optionsFor(model: Model, pass: Pass): Promise<ControlOptions>;
  /** Maps as PNG, for the answer. */
  readonly maps: readonly Uint8Array[];
  /** What of a record belongs to the pictures as they were given, not to the maps that were made of them. */
  recorded(record: GenerationRecord): Pick<GenerationRecord, 'control' | 'digests'>;
  release(): void;
}

interface OpenedControl {
  readonly fields: JobControl;
  readonly prepared: PreparedControl & Partial<PreparedReference>;
}
interface OpenedPrompt {
  readonly fields: JobImagePrompt;
  readonly prepared: PreparedReference;
}

/** Fields of a request, without what only a job has. */
function plainFields(fields: Fields, shape: Fields): Fields {
  return Object.fromEntries(
    Object.keys(shape).flatMap((name) => (fields[name] === undefined ? [] : [[name, fields[name]]])),
  );
}

const ofPass = <T>(both: OfPasses<T> | undefined, pass: Pass): T | undefined => both?.[pass];

function readerOf({ store }: ControlContext): (id: string | undefined) => Promise<Uint8Array | undefined> {
  return async (id: string | undefined): Promise<Uint8Array | undefined> => {
    if (id === undefined) return undefined;
    const bytes = await store.get(id);
    if (bytes) return bytes;
    throw new StableDiffusionError('not-found', 'A picture of a control is not in the store any more.');
  };
}

/** The map by a preprocessor's network, which runs here and not in the process for pictures. */
async function drawnByNetwork(
  control: JobControl,
  prepared: PreparedControl,
  { request, owner }: PictureJob,
  { context: { controls }, signal }: { readonly context: ControlContext; readonly signal: AbortSignal },
): Promise<PreparedControl> {
  const { network } = findPreprocessor(control.preprocessor) ?? {};
  const { picture } = prepared;
  if (network === undefined || picture === undefined) return prepared;
  const size = { width: request.width, height: request.height };
  const drawn = await controls.withAnnotator(network, { owner, signal }, (annotator) =>
    drawMap({ fields: control, annotator, picture, size, seed: 0 }),
  );
  return { ...prepared, ...(await mapsOf(drawn, { control, mask: undefined, request })) };
}

async function prepareControls(
  job: PictureJob,
  context: ControlContext,
  signal: AbortSignal,
): Promise<OpenedControl[]> {
  const { request, owner } = job;
  const { pictures, controls } = context;
  const read = readerOf(context);
  const opened: OpenedControl[] = [];
  for (const fields of request.control ?? []) {
    if (fields.objects) {
      opened.push({ fields, prepared: { shown: [], digests: { pictures: [] } } });
      continue;
    }
    const [picture, mask, region] = [await read(fields.picture), await read(fields.mask), await read(fields.region)];
    const encoder = await controls.encoderOf(fields.model);
    const [jobPicture, jobMask] = [await read(request.image), await read(request.mask)];
    if (encoder) {
      const given = { pictures: [picture ?? (jobPicture as Uint8Array)], region, side: encoder.side, request };
      const { pictures: seen, ...prepared } = await pictures.run('reference', given, { owner, signal });
      opened.push({ fields, prepared: { ...prepared, picture: seen[0], shown: [] } });
      continue;
    }
    const isPart = request.inpaint?.onlyMaskedPadding !== undefined && fields.cropsPicture !== false;
    const needsJob = picture === undefined || isPart || fields.mask === undefined;
    const files = { picture, mask, region, ...(needsJob ? { jobPicture, jobMask } : {}) };
    const prepared = await pictures.run('control', { control: fields, files, request }, { owner, signal });
    opened.push({ fields, prepared: await drawnByNetwork(fields, prepared, job, { context, signal }) });
  }
  return opened;
}

async function preparePrompts(job: PictureJob, context: ControlContext, signal: AbortSignal): Promise<OpenedPrompt[]> {
  const { request, owner } = job;
  const read = readerOf(context);
  const opened: OpenedPrompt[] = [];
  for (const fields of request.imagePrompts ?? []) {
    const files: Uint8Array[] = [];
    for (const id of fields.pictures) files.push((await read(id)) as Uint8Array);
    const side = (await context.controls.encoderOf(fields.model))?.side ?? 224;
    const given = { pictures: files, region: await read(fields.region), side, request };
    opened.push({ fields, prepared: await context.pictures.run('reference', given, { owner, signal }) });
  }
  return opened;
}

/** A control in a pass; undefined where it does not act. Without a second pass it always does. */
function inPass(fields: JobControl, pass: Pass, { hires }: JobRequest): ControlFields | undefined {
  if (!hires) return fields;
  return pass === 'second' ? inSecondPass(fields) : fields.passes === 'second' ? undefined : fields;
}

/** Opens the pictures of a job's controls. Undefined for a job without any. Throws `not-found`, and what making the maps throws. */
export async function openControls(
  job: PictureJob,
  context: ControlContext,
  signal: AbortSignal,
): Promise<JobControls | undefined> {
  const { request } = job;
  if (!request.control && !request.imagePrompts) return undefined;
  const controls = await prepareControls(job, context, signal);
  const prompts = await preparePrompts(job, context, signal);
  const leases: ControlLease[] = [];
  const open = async (model: Model, title: string): Promise<ControlLease['control']> => {
    const lease = await context.controls.acquire(model, title);
    leases.push(lease);
    return lease.control;
  };
  return {
    maps: controls.flatMap(({ prepared }) => prepared.shown),
    async optionsFor(model, pass) {
      const control: ControlOption[] = [];
      for (const { fields, prepared } of controls) {
        const acting = inPass(fields, pass, request);
        if (!acting) continue;
        const { maps, regions, picture } = prepared;
        control.push({
          ...plainFields(acting, controlShape),
          model: await open(model, fields.model),
          map: ofPass(maps, pass),
          picture: maps ? undefined : picture,
          region: ofPass(regions, pass),
        } as ControlOption);
      }
      const imagePrompts: ImagePromptOption[] = [];
      for (const { fields, prepared } of prompts)
        imagePrompts.push({
          ...plainFields(fields, imagePromptShape),
          model: await open(model, fields.model),
          pictures: prepared.pictures,
          region: ofPass(prepared.regions, pass),
        } as ImagePromptOption);
      return { control, imagePrompts };
    },
    recorded: ({ control, digests }) => ({
      ...(control ? { control } : {}),
      digests: {
        ...digests,
        ...(controls.length > 0 ? { control: controls.map(({ prepared }) => prepared.digests) } : {}),
        ...(prompts.length > 0 ? { imagePrompts: prompts.map(({ prepared }) => prepared.digests) } : {}),
      },
    }),
    release() {
      for (const lease of leases.splice(0)) lease.release();
    },
  };
}
