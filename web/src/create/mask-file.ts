/** The mask as a file: PNG, white on black. */

/** White where the canvas is painted, black elsewhere. */
export async function maskFile(canvas: HTMLCanvasElement): Promise<Blob | undefined> {
  const { width, height } = canvas;
  const painted = canvas.getContext('2d')?.getImageData(0, 0, width, height);
  if (!painted) return undefined;
  let any = false;
  for (let i = 0; i < painted.data.length; i += 4) {
    const white = (painted.data[i + 3] as number) > 127 ? 255 : 0;
    any ||= white === 255;
    painted.data.fill(white, i, i + 3);
    painted.data[i + 3] = 255;
  }
  if (!any) return undefined;
  const out = new OffscreenCanvas(width, height);
  out.getContext('2d')?.putImageData(painted, 0, 0);
  return out.convertToBlob({ type: 'image/png' });
}
