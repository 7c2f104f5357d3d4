/** ComfyUI's HTTP answers: of a fresh server, of uploads and views, of settings and user files. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { collecting, type Comparisons } from '../comparisons.ts';
import { type RecordedFolders, startComfyServer } from '../comfyui/comfy-server.ts';
import type { Masks } from '../comfyui/masked.ts';
import { type RecordedRequest, type RecordedStep, replayStep } from '../comfyui/replay.ts';
import type { Reader, RecordedCase } from '../reader.ts';

/** A remark that stands among the requests: a pixel of a picture that was made. */
interface Remark {
  readonly note: string;
  readonly value: readonly number[];
}

type Entry = RecordedStep | Remark;

const isStep = (entry: Entry): entry is RecordedStep => 'request' in entry;

export const reader: Reader = {
  set: 'comfyui',
  reads: (row, part) =>
    part === 'protocol' &&
    /^(GET answers of a fresh server|POST \/upload\/image|settings and user files)/.test(String(row['exercises'])),
  compare: collecting(compareRequests),
};

async function compareRequests(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const entries = JSON.parse(
    readFileSync(join(recorded.folder, String(recorded.row['values'])), 'utf8'),
  ) as readonly Entry[];
  const steps = entries.filter(isStep);
  const server = await startComfyServer(foldersOf(recorded, steps));
  const masks: Masks = new Map();
  try {
    const pixels = pixelsOf(entries);
    for (const [i, entry] of entries.entries()) {
      if (isStep(entry))
        await replayStep(entry, `${i}`, { url: server.url, masks, fileOf: fileFrom(pixels), special }, compare);
      else await compareRemark(entry, server.url, compare);
    }
  } finally {
    await server.stop();
  }
}

/** The models and pictures that the recording's server had, by what its lists say. */
function foldersOf({ setFolder }: RecordedCase, steps: readonly RecordedStep[]): RecordedFolders {
  const answerTo = (path: string): unknown => steps.find(({ request }) => request.path === path)?.response.json;
  const sizes = new Map(
    ((answerTo('/experiment/models/checkpoints') ?? []) as { name: string; size: number }[]).map(
      ({ name, size }) => [name, size] as const,
    ),
  );
  const models = new Map<string, { name: string; size?: number | undefined }[]>([
    ['checkpoints', [{ name: 'sd1.safetensors' }]],
  ]);
  for (const { request, response } of steps) {
    const kind = /^\/models\/(\w+)$/.exec(request.path)?.[1];
    if (kind && Array.isArray(response.json))
      models.set(
        kind,
        response.json.map((name: string) => ({ name, size: sizes.get(name) })),
      );
  }
  const embeddings = (answerTo('/embeddings') ?? []) as readonly string[];
  models.set(
    'embeddings',
    embeddings.map((name) => ({ name: name === 'tiny-pt' ? `${name}.pt` : `${name}.safetensors` })),
  );
  const inputs = answerTo('/internal/files/input') as readonly string[] | undefined;
  return { setFolder, models, ...(inputs ? { inputs } : {}) };
}

/** What an answer is compared by where it tells of the machine, or is a fault of ComfyUI's. */
function special({
  request,
  response,
}: RecordedStep): ReturnType<NonNullable<Parameters<typeof replayStep>[2]['special']>> {
  const sorted = (list: unknown): unknown => (Array.isArray(list) ? [...list].sort() : list);
  const kindsOf = (value: unknown): unknown =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, kindsOf(inner)]))
      : Array.isArray(value)
        ? value.map(kindsOf).filter((kind) => kind !== 'string')
        : /^\d+\.\d+\.\d+$/.test(String(value))
          ? value
          : typeof value;
  const withoutBase = (value: unknown): unknown =>
    JSON.parse(
      JSON.stringify(value)
        .replaceAll('<base>/', '')
        .replace(/,"output\/[^"]*"/g, ''),
    );
  const timeless = (value: unknown): unknown =>
    (value as { modified: number }[]).map((file) => ({
      ...file,
      modified: typeof file.modified,
      created: typeof file.modified,
    }));
  // Words for people are this program's own.
  const wordless = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value), (key, inner: unknown) => (key === 'description' ? '' : inner));
  if (request.path.startsWith('/object_info')) return { ours: wordless, theirs: wordless(response.json) };
  if (request.path === '/system_stats') return { ours: kindsOf, theirs: kindsOf(response.json) };
  if (request.path === '/extensions') return { ours: Array.isArray, theirs: true };
  if (request.path === '/internal/files/input') return { ours: sorted, theirs: sorted(response.json) };
  if (request.path === '/internal/logs/raw')
    return { ours: (body) => Object.keys(JSON.parse(String(body))), theirs: ['entries', 'size'] };
  if (request.path === '/internal/folder_paths')
    return {
      ours: (body) => ({ ...(body as object), custom_nodes: ['custom_nodes'] }),
      theirs: withoutBase(response.json),
    };
  if (request.path === '/experiment/models') return { ours: (body) => body, theirs: withoutBase(response.json) };
  if (/^\/experiment\/models\/\w/.test(request.path)) return { ours: timeless, theirs: timeless(response.json) };
  if (response.status === 500) return { skip: "a fault of ComfyUI's: 500 for a folder that has folders in it" };
  // An address that is in no API: the answer is the server's own.
  if (response.headers['Content-Type'] === 'application/octet-stream') return { ours: () => '', theirs: '' };
  return undefined;
}

/** The pixel of the picture and the alpha of the mask, as the recording states them after the masked upload. */
function pixelsOf(entries: readonly Entry[]): readonly number[] {
  return (
    entries.flatMap((entry) => (isStep(entry) || !/masked/.test(entry.note) ? [] : [entry.value]))[0] ?? [
      10, 20, 30, 128,
    ]
  );
}

/** Files differ by their size. A mask has an alpha channel. */
function fileFrom([red = 0, green = 0, blue = 0, alpha = 255]: readonly number[]): (
  field: { readonly value: string },
  request: RecordedRequest,
) => Promise<Uint8Array<ArrayBuffer>> {
  return async ({ value }, request) => {
    const other = Number.parseInt(value.slice(1), 10) % 11;
    const isMask = request.path.endsWith('/mask');
    const background = isMask
      ? { r: 200, g: 100, b: 50, alpha: alpha / 255 }
      : { r: red + (other === 0 ? 0 : other), g: green, b: blue };
    const channels = isMask ? 4 : 3;
    return new Uint8Array(
      await sharp({ create: { width: 8, height: 6, channels, background } })
        .png()
        .toBuffer(),
    );
  };
}

/** A pixel of the masked picture, whole and through `channel=a`. */
async function compareRemark({ note, value }: Remark, url: string, compare: Comparisons): Promise<void> {
  const channel = note.includes('channel=a') ? '&channel=a' : '';
  const response = await fetch(`${url}/view?filename=masked.png&type=input${channel}`);
  const { data } = await sharp(await response.arrayBuffer())
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  compare.exact(note, [...data.subarray(0, 4)], [...value]);
}
