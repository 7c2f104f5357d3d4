/**
 * Pictures: the image type, resampling as Pillow's, conversion to and from the networks' tensors as CompVis and diffusers do it, file
 * metadata and A1111 infotext, the invisible watermark. The codecs are apart, one a platform: `codec-node.ts`, `codec-web.ts`.
 */

export { type A1111Settings, a1111Infotext, type PerImage } from './metadata/a1111-settings.ts';
export { type ClipImageOptions, clipImageMean, clipImageStd, clipImageTensor } from './clip-image.ts';
export type { DecodeOptions, EncodeOptions, ImageCodec } from './codec/codec.ts';
export { alphaOf, type Channels, createImage, crop, flatten, type Image, paste, toGrey, toRgb } from './image.ts';
export { defaultMaxPixels, type ImageFile, type ImageFormat, inspectImageFile } from './codec/image-file.ts';
export { perceptualHash } from './perceptual-hash.ts';
export { type GridOptions, imageGrid } from './image-grid.ts';
export {
  type FoundMetadata,
  type ImageMetadata,
  readImageMetadata,
  writeImageMetadata,
} from './metadata/image-metadata.ts';
export {
  type ByteConvention,
  type FloatConvention,
  floatsToBytes,
  imagesToTensor,
  tensorToImages,
} from './image-tensor.ts';
export { fitInitImage, type InitImageOptions, initImageTensor } from './init-image.ts';
export {
  formatInfotext,
  type InfotextContent,
  type InfotextFields,
  type InfotextValue,
  parseInfotext,
  type ParseInfotextOptions,
} from './metadata/infotext.ts';
export { type InpaintBatch, type InpaintConvention, inpaintBatch, interpolateMask } from './inpaint-batch.ts';
export { encodePng } from './codec/png-encode.ts';
export { type DroppedText, type PngText, type PngTextLimits, readPngText, writePngText } from './metadata/png-text.ts';
export { type Box, type ResizeFilter, resize, resizeFilters } from './resize.ts';
export { canWatermark, decodeWatermark, embedWatermark, stableDiffusionWatermark } from './watermark.ts';
