/** `/upload/image` and `/upload/mask`: pictures for workflows to read (ComfyUI server.py). */

import * as z from 'zod';
import { baseName, pathInside } from '../../comfyui/folder-path.ts';
import { isPictureFolder, type PictureFolderName } from '../../comfyui/picture-folders.ts';
import { spaceOf } from '../../admission/storage-quota.ts';
import type { ServerContext } from '../../context.ts';
import { type Answer, empty, type FormPart, json } from '../../http/route.ts';
import { comfyRoute } from './define.ts';

interface Upload {
  readonly bytes: Uint8Array;
  /** Folder inside, and the file's name. */
  readonly subfolder: string;
  readonly name: string;
  readonly folder: PictureFolderName;
  readonly overwrite: boolean;
  readonly texts: ReadonlyMap<string, string>;
}

/** A form that was sent as one: JSON of the same shape is not. */
class SentForm {
  readonly parts: readonly FormPart[];

  constructor(parts: readonly FormPart[]) {
    this.parts = parts;
  }
}

/** The picture of the form; undefined where the body is no form, lacks a file, or names a place that is not the caller's. */
function uploadOf(body: unknown): Upload | undefined {
  if (!(body instanceof SentForm)) return undefined;
  const texts = new Map<string, string>();
  for (const part of body.parts) if ('text' in part) texts.set(part.name, part.text);
  const file = body.parts.find((part) => part.name === 'image');
  if (!file || !('bytes' in file) || !file.fileName) return undefined;
  const folder = texts.get('type') ?? 'input';
  const given = texts.get('subfolder') ?? '';
  const subfolder = pathInside(given);
  const path = pathInside(given, file.fileName);
  if (!isPictureFolder(folder) || subfolder === undefined || !path || path === subfolder) return undefined;
  const overwrite = ['true', '1'].includes(texts.get('overwrite') ?? '');
  return {
    bytes: file.bytes,
    name: baseName(path),
    subfolder: path.slice(0, -baseName(path).length).replace(/\/$/, ''),
    folder,
    overwrite,
    texts,
  };
}

/** Names to try: as it is, then with a number. */
function* namesFor(name: string): Generator<string> {
  yield name;
  const dot = name.lastIndexOf('.');
  const [stem, ending] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
  for (let number = 1; number < 10_000; number++) yield `${stem} (${number})${ending}`;
}

/** Files with which a new one is compared. */
const mostCompared = 100;

/** Stores the bytes under the first name that is free or has the same bytes. */
async function store(
  { comfyui: { folders } }: ServerContext,
  owner: string,
  { bytes, name, subfolder, folder, overwrite }: Upload,
): Promise<Answer> {
  const place = (file: string): string => (subfolder === '' ? file : `${subfolder}/${file}`);
  const answer = (file: string): Answer => json({ name: file, subfolder, type: folder });
  if (overwrite) {
    await folders.write(owner, folder, place(name), bytes, { replace: true });
    return answer(name);
  }
  let compared = 0;
  for (const file of namesFor(name)) {
    // Files of one name and one size would be read whole for every further one.
    const found = await folders.compare(owner, folder, place(file), compared < mostCompared ? bytes : undefined);
    if (found === 'same') return answer(file);
    if (found === 'other') compared++;
    else if (await folders.write(owner, folder, place(file), bytes, { replace: false })) return answer(file);
  }
  return empty(400);
}

const form = {
  body: z.custom<unknown>().optional(),
  form: (parts: readonly FormPart[]) => new SentForm(parts),
  takesPictures: true,
  response: z.object({ name: z.string(), subfolder: z.string(), type: z.string() }),
};

const image = comfyRoute({
  method: 'POST',
  path: '/upload/image',
  summary: 'Stores a picture for workflows: a form with image, and type, subfolder, overwrite',
  ...form,
  async handle(context, { owner, body }) {
    const upload = uploadOf(body);
    if (!upload) return empty(400);
    context.quota.charge(owner, spaceOf(upload.bytes.length, `${upload.subfolder}/`));
    return store(context, owner, upload);
  },
});

const reference = z.object({
  filename: z.string().min(1),
  type: z.enum(['input', 'output', 'temp']).default('output'),
  subfolder: z.string().default(''),
});

/** The original that a mask belongs to. */
function referenceOf(text: string | undefined): z.output<typeof reference> | undefined {
  try {
    const read = reference.safeParse(JSON.parse(text ?? ''));
    return read.success ? read.data : undefined;
  } catch {
    return undefined;
  }
}

const mask = comfyRoute({
  method: 'POST',
  path: '/upload/mask',
  summary:
    'Stores a stored picture again, with the alpha channel of the one sent: a form with image and original_ref, a JSON text',
  ...form,
  async handle(context, { owner, body, signal }) {
    const upload = uploadOf(body);
    const original = referenceOf(upload?.texts.get('original_ref'));
    const path = original && pathInside(original.subfolder, original.filename);
    if (!upload || !original || !path) return empty(400);
    context.quota.charge(owner, spaceOf(upload.bytes.length, `${upload.subfolder}/`));
    const picture = await context.comfyui.folders.read(owner, original.type, path);
    // ComfyUI answers as if it had stored it.
    if (!picture) return json({ name: upload.name, subfolder: upload.subfolder, type: upload.folder });
    const bytes = await context.pictures.run('masked', { picture, mask: upload.bytes }, { owner, signal });
    return store(context, owner, { ...upload, bytes });
  },
});

export const uploadRoutes = [...image, ...mask];
