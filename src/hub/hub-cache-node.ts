/**
 * The cache of models as Python's `huggingface_hub` lays it, so that each program finds what the other downloaded:
 * `models--ORG--NAME/refs/REV` (a commit), `blobs/ETAG` (content), `snapshots/COMMIT/PATH` (links to blobs).
 */

import { lstat, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import { systemCode, writeError } from '../files/file-error-node.ts';
import { makeFolder } from '../files/make-folder-node.ts';
import { readTextIfThere, whatIsAt } from '../files/open-node.ts';
import { writeText } from '../files/write-file-node.ts';

export interface RepositoryCache {
  readonly folder: string;
  blob(etag: string): string;
  lock(etag: string): string;
  snapshot(commit: string): string;
}

/** The paths of one repository. */
export function repositoryCache(cache: string, repository: string): RepositoryCache {
  const name = `models--${repository.replace('/', '--')}`;
  const folder = join(cache, name);
  return {
    folder,
    blob: (etag) => join(folder, 'blobs', etag),
    // Python's own lock of the same blob is NAME.lock, by flock, which Node does not have.
    lock: (etag) => join(cache, '.locks', name, `${etag}.sd.lock`),
    snapshot: (commit) => join(folder, 'snapshots', commit),
  };
}

const commitPattern = /^[0-9a-f]{40}$/;

/** The commit of a revision at its last request; undefined if nothing of it is cached. */
export async function knownCommit({ folder }: RepositoryCache, revision: string): Promise<string | undefined> {
  if (commitPattern.test(revision)) return revision;
  const text = await readTextIfThere('note', join(folder, 'refs', ...revision.split('/')));
  const commit = text?.trim() ?? '';
  return commitPattern.test(commit) ? commit : undefined;
}

/** Notes which commit a revision is. */
export async function keepRef({ folder }: RepositoryCache, revision: string, commit: string): Promise<void> {
  if (revision === commit) return;
  const path = join(folder, 'refs', ...revision.split('/'));
  await makeFolder(dirname(path));
  await writeText(path, commit);
}

/** Gives a blob its name in a snapshot: a relative link, or where links cannot be made the file itself. */
export async function linkBlob(blob: string, path: string): Promise<void> {
  if ((await whatIsAt(path)) === 'file') return;
  await makeFolder(dirname(path));
  await rm(path, { force: true });
  try {
    await symlink(relative(dirname(path), blob), path);
  } catch (cause) {
    const code = systemCode(cause);
    if (code === 'EEXIST') return;
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw writeError(path, cause);
    await rename(blob, path);
  }
}

export interface KeptModel {
  /** `ORG/NAME`, or `NAME`. */
  readonly repository: string;
  readonly folder: string;
  /** Bytes on the disk. */
  readonly bytes: number;
  /** Revisions by name, and what each has. */
  readonly revisions: readonly {
    readonly names: readonly string[];
    readonly commit: string;
    readonly files: readonly string[];
  }[];
}

/** The cached models, including downloads of other programs. */
export async function keptModels(cache: string): Promise<KeptModel[]> {
  const kept: KeptModel[] = [];
  for (const name of (await namesIn(cache)).sort()) {
    // Models from before organisations have one part.
    const [kind, ...parts] = name.split('--');
    if (kind !== 'models' || parts.length === 0 || parts.length > 2) continue;
    const folder = join(cache, name);
    const refs = await refsIn(join(folder, 'refs'));
    const revisions = [];
    for (const commit of await namesIn(join(folder, 'snapshots')))
      revisions.push({
        commit,
        names: [...refs].flatMap(([ref, of]) => (of === commit ? [ref] : [])),
        files: await filesIn(join(folder, 'snapshots', commit)),
      });
    let bytes = 0;
    for (const blob of await namesIn(join(folder, 'blobs'))) bytes += await sizeAt(join(folder, 'blobs', blob));
    kept.push({ repository: parts.join('/'), folder, bytes, revisions });
  }
  return kept;
}

/** Removes a model with all its revisions. Throws `not-found`. */
export async function removeKept(cache: string, repository: string): Promise<number> {
  const found = (await keptModels(cache)).find((model) => model.repository === repository);
  if (!found) throw new StableDiffusionError('not-found', `${repository} is not among the models in ${cache}.`);
  await rm(found.folder, { recursive: true });
  return found.bytes;
}

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
const sizeAt = (path: string): Promise<number> =>
  lstat(path).then(
    ({ size }) => size,
    () => 0,
  );

async function filesIn(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true }).catch(() => []);
  const files: string[] = [];
  for (const name of all)
    if (
      await stat(join(folder, name)).then(
        (s) => s.isFile(),
        () => false,
      )
    )
      files.push(name);
  return files.sort();
}

async function refsIn(folder: string): Promise<Map<string, string>> {
  const refs = new Map<string, string>();
  for (const name of await filesIn(folder))
    refs.set(name, ((await readTextIfThere('note', join(folder, name)).catch(() => undefined)) ?? '').trim());
  return refs;
}
