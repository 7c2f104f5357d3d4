/** Which files are pictures, by their names: those that the codecs read, and those of other formats. */

/** Endings of PNG, JPEG, WebP and GIF, in lower case without the dot; the usual ones first. */
export const pictureEndings = [
  'jpg',
  'jpeg',
  'png',
  'webp',
  'gif',
  'jpe',
  'jfif',
  'jif',
  'pjpeg',
  'pjp',
  'apng',
] as const;

const others =
  'bmp dib tif tiff avif avifs heic heif heics hif jxl jp2 j2k jpx jpf jxr wdp svg ico cur psd psb tga pcx dds qoi hdr exr pbm pgm ppm pnm pam pfm xcf kra dng cr2 cr3 nef arw raf orf rw2 raw';
const readable: ReadonlySet<string> = new Set(pictureEndings);
const unreadable: ReadonlySet<string> = new Set(others.split(' '));

/** Without the white space that some programs leave at the end of a name. */
const endingOf = (name: string): string => /\.([^./]*)$/.exec(name.trimEnd())?.[1]?.toLowerCase() ?? '';

export const isPictureName = (name: string): boolean => readable.has(endingOf(name));
/** A picture of a format that is not read. */
export const isOtherPictureName = (name: string): boolean => unreadable.has(endingOf(name));
