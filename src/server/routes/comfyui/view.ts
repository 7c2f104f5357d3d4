/** `/view`: a file of the caller's `input`, `output` or `temp` folder, whole or as a smaller preview (ComfyUI server.py). */

import * as z from 'zod';
import { baseName, pathInside } from '../../comfyui/folder-path.ts';
import { mediaTypeOf } from '../../comfyui/media-types.ts';
import { isPictureFolder } from '../../comfyui/picture-folders.ts';
import { empty } from '../../http/route.ts';
import type { ViewForm } from '../../pictures/picture-work.ts';
import { comfyRoute } from './define.ts';

const query = z.object({
  filename: z.string().optional(),
  type: z.string().optional(),
  subfolder: z.string().optional(),
  preview: z.string().optional().describe('webp or jpeg, and a quality: webp;90'),
  channel: z.string().optional().describe('rgb, a or rgba'),
});

/** `webp;70`: format and quality. Other formats give WebP. */
function previewOf(text: string): { readonly format: 'webp' | 'jpeg'; readonly quality: number } {
  const parts = text.split(';');
  const last = parts.at(-1) ?? '';
  const quality = /^\d{1,9}$/.test(last) ? Math.min(100, Math.max(1, Number(last))) : 90;
  return { format: parts[0] === 'jpeg' ? 'jpeg' : 'webp', quality };
}

/** What is to be made of the picture; undefined for the file as it is. */
function formOf({ preview, channel }: z.output<typeof query>): ViewForm | undefined {
  if (preview !== undefined) return { ...previewOf(preview), channels: channel === 'rgb' ? 'rgb' : 'all' };
  if (channel === 'rgb' || channel === 'a') return { format: 'png', quality: 90, channels: channel };
  return undefined;
}

export const viewRoutes = comfyRoute({
  method: 'GET',
  path: '/view',
  summary: 'A picture of the input, output or temp folder',
  query,
  responseType: 'application/octet-stream',
  async handle({ comfyui, pictures }, { owner, query: given, signal }) {
    const { filename = '', subfolder = '' } = given;
    if (given.filename === undefined) return empty(404);
    const [, name = filename, annotated] = /^(.*) \[(input|output|temp)\]$/.exec(filename) ?? [];
    const folder = annotated ?? given.type ?? 'output';
    if (name === '' || name.startsWith('/') || name.includes('..') || !isPictureFolder(folder)) return empty(400);
    const file = baseName(name.replaceAll('\\', '/'));
    const path = pathInside(subfolder, file);
    if (path === undefined) return empty(403);
    const bytes = file === '' || file === '.' ? undefined : await comfyui.folders.read(owner, folder, path);
    if (!bytes) return empty(404);
    const form = formOf(given);
    const disposition = { 'content-disposition': `filename="${file.replace(/[^\x20-\x7e]|["\\]/g, '_')}"` };
    if (!form) return { bytes, mediaType: mediaTypeOf(file), headers: disposition };
    const made = await pictures.run('view', { bytes, form }, { owner, signal });
    return { bytes: made, mediaType: `image/${form.format}`, headers: disposition };
  },
});
