/** A grid as one picture with its labels, to be saved. */

import type { Grid } from './grid-run.ts';

const labelHeight = 36;
const mostCell = 512;

/** PNG. */
export async function gridPicture({ columns, rows, cells, columnLabel, rowLabel }: Grid): Promise<Blob> {
  const bitmaps = await Promise.all(
    cells.map((cell) => (typeof cell === 'object' ? createImageBitmap(cell.file) : undefined)),
  );
  const width = Math.min(mostCell, Math.max(...bitmaps.map((bitmap) => bitmap?.width ?? 1)));
  const largest = bitmaps.find((bitmap) => bitmap !== undefined);
  const height = Math.round(largest ? (width * largest.height) / largest.width : width);
  const left = rows.length > 1 ? 140 : 0;
  const canvas = new OffscreenCanvas(left + columns.length * width, labelHeight + rows.length * height);
  const paper = canvas.getContext('2d');
  if (!paper) throw new Error('This browser gave no canvas to draw the grid on.');
  paper.fillStyle = '#fff';
  paper.fillRect(0, 0, canvas.width, canvas.height);
  paper.fillStyle = '#1a1b1c';
  paper.font = '14px system-ui, sans-serif';
  paper.textAlign = 'center';
  paper.textBaseline = 'middle';
  const label = (name: string, value: string): string => (value === '' ? '' : `${name}: ${value}`);
  for (const [i, value] of columns.entries())
    paper.fillText(label(columnLabel, value.label), left + (i + 0.5) * width, labelHeight / 2, width - 8);
  for (const [i, value] of rows.entries())
    paper.fillText(label(rowLabel, value.label), left / 2, labelHeight + (i + 0.5) * height, left - 8);
  for (const [i, bitmap] of bitmaps.entries())
    if (bitmap)
      paper.drawImage(
        bitmap,
        left + (i % columns.length) * width,
        labelHeight + Math.floor(i / columns.length) * height,
        width,
        height,
      );
  return canvas.convertToBlob({ type: 'image/png' });
}
