/** Answers of servers that send a whole file instead of a range (`python -m http.server` and other small ones). */

import { StableDiffusionError } from '../errors.ts';

/** Single-page applications, logins and download pages answer addresses of files with a page. No file of a model is one. */
export const isPage = (headers: Headers): boolean =>
  /^\s*(?:text\/html|application\/xhtml\+xml)\b/i.test(headers.get('content-type') ?? '');

/** The sentence about a page in the place of a file. */
export const pageInstead = (label: string): string =>
  `${label} answers with an HTML page and not with a file. Check the address; some sites have one of their own for the file itself.`;

/** The bytes of a body, or undefined where it has more than `most`; then no more than those are read. */
export async function boundedBody(response: Response, most: number): Promise<Blob | undefined> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = Number(response.headers.get('content-length') ?? 0);
  const reader = response.body?.getReader();
  if (size <= most) {
    size = 0;
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done || value === undefined) return new Blob(parts);
      size += value.length;
      if (size > most) break;
      parts.push(value as Uint8Array<ArrayBuffer>);
    }
  }
  await reader?.cancel();
  return undefined;
}

/** Most bytes of a file that is kept in memory because its server knows no ranges: small models, adapters, LoRAs. */
const mostWhole = 2 ** 29;

/** The file of an answer that is no range. Throws `file-not-found` for a page, `network` for a file that is too long to keep. */
export async function wholeAnswer(url: string, response: Response): Promise<Blob> {
  if (isPage(response.headers)) {
    await response.body?.cancel();
    throw new StableDiffusionError('file-not-found', pageInstead(url));
  }
  const blob = await boundedBody(response, mostWhole);
  if (blob) return blob;
  throw new StableDiffusionError(
    'network',
    `${url} could not be read by range: the server does not answer range requests, and the file has more than ${mostWhole} bytes. Download it and open it from disk, or serve it by a server that does.`,
  );
}
