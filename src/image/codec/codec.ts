/**
 * ImageCodec: pictures from files and to files. `codec-node.ts` does it with sharp, `codec-web.ts` with the browser; both pass
 * test/image/codec-conformance.ts.
 *
 * Shared rules are implemented here and in image-file.ts: format by content, limits and completeness before decoding, EXIF orientation,
 * ICC profiles ignored (the numbers in the file are the picture, as for PIL), the first frame of an animation, and opaque images as RGB.
 */

import type { Image } from '../image.ts';
import type { ImageMetadata } from '../metadata/image-metadata.ts';

export interface DecodeOptions {
  /** `apply` (default) turns the picture upright; `ignore` leaves it as stored, as PIL's `Image.open` and so CompVis' scripts do. */
  readonly orientation?: 'apply' | 'ignore';
  /** Images of more pixels are refused by their header, with `too-large`. Default 2^26 (8192 x 8192). */
  readonly maxPixels?: number;
}

export type EncodeOptions = {
  /** Written into the file: see image-metadata.ts. */
  readonly metadata?: ImageMetadata;
} & (
  | { readonly format: 'png' }
  | {
      /** JPEG has no transparency: alpha is composited on white. */
      readonly format: 'jpeg';
      /** 1 to 100. Default 90. */
      readonly quality?: number;
    }
  | {
      readonly format: 'webp';
      /** 1 to 100. Default 90. */
      readonly quality?: number;
      /** Default false. */
      readonly lossless?: boolean;
    }
);

export interface ImageCodec {
  /**
   * Three channels, or four where at least one pixel is not opaque (not premultiplied). Grey is repeated, 16 bits become 8.
   *
   * Throws `file-corrupt`, `file-truncated`, `file-unsupported` and `too-large` as `inspectImageFile`.
   */
  decode(bytes: Uint8Array, options?: DecodeOptions): Promise<Image<3 | 4>>;
  /** The bytes of a file. Throws `invalid-argument` for another format or quality. */
  encode(image: Image, options: EncodeOptions): Promise<Uint8Array>;
}
