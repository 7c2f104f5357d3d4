/** Buckets of S3 and of storages of its kind (MinIO, R2, Ceph), by Amazon's own client, an optional peer. */

import { StableDiffusionError } from '../errors.ts';

export type S3Module = typeof import('@aws-sdk/client-s3');

export interface S3Bucket {
  readonly s3: S3Module;
  readonly client: InstanceType<S3Module['S3Client']>;
}

/** Bucket and key of `s3://bucket/key`. Throws `invalid-argument`. */
export function s3Parts(address: string, what: string): { readonly bucket: string; readonly key: string } {
  const [, bucket, key = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(address) ?? [];
  if (bucket === undefined)
    throw new StableDiffusionError('invalid-argument', `${what}, and is ${JSON.stringify(address.slice(0, 100))}.`);
  return { bucket, key };
}

/**
 * A client with the credentials, the region and (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`) the address of the environment, as Amazon's tools
 * read them. Throws `engine-unavailable` without the package. `what` begins the message.
 */
export async function s3Client(
  what: string,
  { endpoint, region }: { readonly endpoint?: string | undefined; readonly region?: string | undefined } = {},
): Promise<S3Bucket> {
  const s3 = await import('@aws-sdk/client-s3').catch((cause: unknown) => {
    throw new StableDiffusionError(
      'engine-unavailable',
      `${what} need the package @aws-sdk/client-s3. Install it: npm install @aws-sdk/client-s3`,
      { cause },
    );
  });
  const own = endpoint ?? process.env['AWS_ENDPOINT_URL_S3'] ?? process.env['AWS_ENDPOINT_URL'];
  const client = new s3.S3Client({
    region: region ?? process.env['AWS_REGION'] ?? 'us-east-1',
    ...(own === undefined ? {} : { endpoint: own, forcePathStyle: true }),
  });
  return { s3, client };
}
