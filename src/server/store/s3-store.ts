/** BlobStore in a bucket of S3 or a storage of its kind (MinIO, R2, Ceph), for pictures that servers and workers share. */

import { StableDiffusionError } from '../../errors.ts';
import { s3Client, s3Parts } from '../../hub/s3-node.ts';
import { type BlobStore, blobId, blobIdOf, blobIdSchema } from './blob-store.ts';

export interface S3Options {
  /** `s3://bucket/prefix` */
  readonly address: string;
  /** Address of a storage other than Amazon's. */
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
}

/** Bucket and prefix of `s3://bucket/prefix`. Throws `invalid-argument`. */
export function parseS3Address(address: string): { readonly bucket: string; readonly prefix: string } {
  const { bucket, key } = s3Parts(address, 'The storage must be s3://BUCKET/PREFIX');
  return { bucket, prefix: key === '' || key.endsWith('/') ? key : `${key}/` };
}

const isMissing = (error: unknown): boolean => error instanceof Error && ['NotFound', 'NoSuchKey'].includes(error.name);

/** Opens a bucket that is there. Credentials are those of the environment, as Amazon's tools read them. Throws `invalid-argument`, `network`. */
export async function openS3Store({ address, endpoint, region }: S3Options): Promise<BlobStore> {
  const { bucket: Bucket, prefix } = parseS3Address(address);
  const { s3, client } = await s3Client('Pictures in S3', { endpoint, region });
  const failed =
    (what: string) =>
    (cause: unknown): never => {
      throw new StableDiffusionError('file-access', `The bucket ${Bucket} ${what}.`, { cause });
    };
  await client.send(new s3.HeadBucketCommand({ Bucket })).catch((cause: unknown) => {
    client.destroy();
    throw new StableDiffusionError('network', `The bucket ${Bucket} cannot be reached with these credentials.`, {
      cause,
    });
  });
  const keyOf = (id: string): string => prefix + blobIdSchema.parse(id);
  return {
    async put(bytes) {
      const id = blobId(bytes);
      await client
        .send(new s3.PutObjectCommand({ Bucket, Key: keyOf(id), Body: bytes }))
        .catch(failed('did not take the picture'));
      return id;
    },
    async get(id) {
      if (!blobIdSchema.safeParse(id).success) return undefined;
      try {
        const { Body } = await client.send(new s3.GetObjectCommand({ Bucket, Key: keyOf(id) }));
        const bytes = new Uint8Array((await Body?.transformToByteArray()) ?? []);
        return (await blobIdOf(bytes)) === id ? bytes : undefined;
      } catch (error) {
        if (isMissing(error)) return undefined;
        return failed('could not be read')(error);
      }
    },
    async has(id) {
      if (!blobIdSchema.safeParse(id).success) return false;
      try {
        await client.send(new s3.HeadObjectCommand({ Bucket, Key: keyOf(id) }));
        return true;
      } catch (error) {
        if (isMissing(error)) return false;
        return failed('could not be read')(error);
      }
    },
    async prune(before) {
      let removed = 0;
      for await (const { Contents = [] } of s3.paginateListObjectsV2({ client }, { Bucket, Prefix: prefix })) {
        for (const { Key, LastModified } of Contents) {
          const isOurs = Key !== undefined && blobIdSchema.safeParse(Key.slice(prefix.length)).success;
          if (!isOurs || !LastModified || LastModified.getTime() >= before) continue;
          await client.send(new s3.DeleteObjectCommand({ Bucket, Key }));
          removed++;
        }
      }
      return removed;
    },
    async close() {
      client.destroy();
    },
  };
}
