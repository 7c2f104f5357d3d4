/**
 * The one suite every ImageCodec passes. It imports nothing of Node, so that it runs on a page too: give it the codec and a way to load the
 * files of files/images, and run the cases.
 */

import type { EncodeOptions, ImageCodec } from '../../src/image/codec/codec.ts';
import { createImage, flatten, type Image } from '../../src/image/image.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';

export interface ExpectedFile {
  readonly file: string;
  readonly exercises: string;
  readonly expected: string;
  readonly tolerance?: number;
  readonly sha256_rgb?: string;
  readonly pixels?: {
    readonly size: readonly [number, number];
    readonly mean_rgb: readonly number[];
    readonly points: Readonly<
      Record<'top_left' | 'top_right' | 'bottom_left' | 'bottom_right' | 'center', readonly number[]>
    >;
  };
}

export interface Measured {
  readonly output: string;
  readonly error: number;
  readonly tolerance: number;
  readonly note?: string;
}

export interface ConformanceCase {
  readonly name: string;
  /** What was measured; throws an Error that says what is wrong. */
  run(): Promise<readonly Measured[]>;
}

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(bytes)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function pointsOf({ width, height, data }: Image<3>): Record<string, readonly number[]> {
  const at = (x: number, y: number) => [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
  return {
    top_left: at(4, 4),
    top_right: at(width - 5, 4),
    bottom_left: at(4, height - 5),
    bottom_right: at(width - 5, height - 5),
    center: at(Math.floor(width / 2), Math.floor(height / 2)),
  };
}

async function comparePixels(image: Image<3>, want: ExpectedFile): Promise<Measured[]> {
  const { pixels, tolerance = 0, sha256_rgb } = want;
  if (!pixels) return [];
  const measured: Measured[] = [
    { output: 'size', error: image.width === pixels.size[0] && image.height === pixels.size[1] ? 0 : 1, tolerance: 0 },
  ];
  const got = pointsOf(image);
  let points = 0;
  for (const [name, colour] of Object.entries(pixels.points)) {
    for (const [c, level] of colour.entries())
      points = Math.max(points, Math.abs(level - (got[name]?.[c] ?? Number.NaN)));
  }
  measured.push({ output: 'points', error: points, tolerance });
  const sums = [0, 0, 0];
  for (const [i, level] of image.data.entries()) sums[i % 3] = (sums[i % 3] as number) + level;
  const mean = Math.max(
    ...sums.map((sum, c) => Math.abs(sum / (image.width * image.height) - (pixels.mean_rgb[c] as number))),
  );
  measured.push({ output: 'mean', error: mean, tolerance: 3 });
  if (tolerance === 0 && sha256_rgb)
    measured.push({ output: 'sha256_rgb', error: (await sha256(image.data)) === sha256_rgb ? 0 : 1, tolerance: 0 });
  return measured;
}

/** Codes and a message a person can act on. */
async function refusal(codec: ImageCodec, bytes: Uint8Array): Promise<string | undefined> {
  try {
    await codec.decode(bytes);
    return undefined;
  } catch (error) {
    const { name, code, message } = error as { name?: string; code?: string; message?: string };
    check(name === 'StableDiffusionError', `refused by ${String(error)}, which is not one of our errors`);
    check(
      ['file-corrupt', 'file-truncated', 'file-unsupported', 'too-large'].includes(code ?? ''),
      `refused with the code ${code}`,
    );
    check((message ?? '').length > 20, `refused without a reason: ${message}`);
    return `${code}: ${message}`;
  }
}

function gradient(width: number, height: number, channels: 1 | 3 | 4): Image {
  const image = createImage(width, height, channels);
  for (let i = 0; i < image.data.length; i++) image.data[i] = (i * 37 + Math.floor(i / 64) * 11) & 255;
  return image;
}

const largest = (a: Uint8Array, b: Uint8Array): number => {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let largestYet = 0;
  for (let i = 0; i < a.length; i++) largestYet = Math.max(largestYet, Math.abs((a[i] as number) - (b[i] as number)));
  return largestYet;
};

/** The recorded files: what must be refused is, and the others decode to the recorded pixels. */
export function fileConformance(
  codec: ImageCodec,
  expected: readonly ExpectedFile[],
  load: (file: string) => Promise<Uint8Array>,
): ConformanceCase[] {
  return expected.map(
    (want): ConformanceCase => ({
      name: `${want.file}: ${want.exercises} (${want.expected})`,
      async run() {
        const bytes = await load(want.file);
        const mustRefuse = want.expected === 'clear error';
        const mayRefuse = mustRefuse || want.expected.includes('clear error');
        const reason = await refusal(codec, bytes);
        if (reason !== undefined) {
          check(mayRefuse, `refused: ${reason}`);
          return [{ output: 'verdict', error: 0, tolerance: 0, note: `refused, ${reason}` }];
        }
        check(!mustRefuse, 'decoded, and a clear error was expected');
        return [
          { output: 'verdict', error: 0, tolerance: 0, note: 'decoded' },
          ...(await comparePixels(flatten(await codec.decode(bytes)), want)),
        ];
      },
    }),
  );
}

const refusals = (codec: ImageCodec): ConformanceCase => ({
  name: 'another format, and a quality that is none, are refused',
  async run() {
    for (const options of [
      { format: 'bmp' },
      { format: 'JPEG' },
      {},
      { format: 'jpeg', quality: 500 },
      { format: 'webp', quality: 0.5 },
    ]) {
      const code = await codec.encode(gradient(4, 4, 3), options as EncodeOptions).then(
        () => 'none',
        (error: { readonly code?: string }) => error.code,
      );
      check(code === 'invalid-argument', `${JSON.stringify(options)}: ${code}`);
    }
    return [];
  },
});

/** The recorded files, and what every codec does with pictures of our own. */
export function codecConformance(
  codec: ImageCodec,
  expected: readonly ExpectedFile[],
  load: (file: string) => Promise<Uint8Array>,
): ConformanceCase[] {
  const cases: ConformanceCase[] = [
    {
      name: 'orientation can be ignored, as PIL does',
      async run() {
        const image = await codec.decode(await load('exif-orientation-6.png'), { orientation: 'ignore' });
        check(image.width === 96 && image.height === 64, `${image.width}x${image.height}`);
        return [
          {
            output: 'red corner',
            error: largest(image.data.subarray((4 * 96 + 4) * 3, (4 * 96 + 4) * 3 + 3), Uint8Array.of(255, 0, 0)),
            tolerance: 0,
          },
        ];
      },
    },
    {
      name: 'the pixel limit counts before decoding',
      async run() {
        const bytes = await load('plain.png');
        const error = await codec.decode(bytes, { maxPixels: 96 * 64 - 1 }).then(
          () => undefined,
          (reason: { code?: string }) => reason.code,
        );
        check(error === 'too-large', `code ${error}`);
        await codec.decode(bytes, { maxPixels: 96 * 64 });
        return [];
      },
    },
    ...([1, 3, 4] as const).map((channels) => ({
      name: `a PNG of ${channels} channels comes back exactly, colours under transparency too`,
      async run() {
        const image = gradient(33, 17, channels);
        const back = await codec.decode(await codec.encode(image, { format: 'png' }));
        check(back.channels === (channels === 4 ? 4 : 3), `${back.channels} channels`);
        const want = channels === 1 ? flatten(image).data : image.data;
        return [{ output: `png ${channels}`, error: largest(back.data, want), tolerance: 0 }];
      },
    })),
    {
      name: 'lossless WebP comes back exactly',
      async run() {
        const image = gradient(40, 24, 3);
        const back = await codec.decode(await codec.encode(image, { format: 'webp', lossless: true }));
        return [{ output: 'webp lossless', error: largest(back.data, image.data), tolerance: 0 }];
      },
    },
    ...(['jpeg', 'webp'] as const).map((format) => ({
      name: `${format} of a plain colour keeps it to within 3 levels; transparency in JPEG becomes white`,
      async run() {
        const image = createImage(
          32,
          32,
          4,
          Uint8Array.from({ length: 4096 }, (_, i) => [200, 100, 50, 255][i % 4] as number),
        );
        const back = await codec.decode(await codec.encode(image, { format, quality: 95 }));
        const measured = [{ output: format, error: largest(back.data, flatten(image).data), tolerance: 3 }];
        if (format === 'webp') return measured;
        const clear = await codec.decode(await codec.encode(createImage(8, 8, 4), { format }));
        return [
          ...measured,
          { output: 'transparent in JPEG', error: largest(clear.data, new Uint8Array(192).fill(255)), tolerance: 2 },
        ];
      },
    })),
    refusals(codec),
    ...(['png', 'jpeg', 'webp'] as const).map((format) => ({
      name: `${format} carries metadata, and still decodes`,
      async run() {
        const metadata = {
          parameters: 'a cat, é 猫 🐈\nNegative prompt: dog\nSteps: 20, Sampler: Euler a',
          record: { seed: 7, prompt: '猫' },
        };
        const bytes = await codec.encode(gradient(16, 8, 3), { format, metadata });
        const { parameters, record } = readImageMetadata(bytes);
        check(parameters === metadata.parameters, `parameters: ${parameters}`);
        check(JSON.stringify(record) === JSON.stringify(metadata.record), `record: ${JSON.stringify(record)}`);
        const back = await codec.decode(bytes);
        check(back.width === 16 && back.height === 8, `${back.width}x${back.height}`);
        return [];
      },
    })),
  ];
  return [...fileConformance(codec, expected, load), ...cases];
}
