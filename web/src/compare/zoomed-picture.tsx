/** A picture that is dragged and zoomed; several share one zoom, so that they show the same place. */

import type { ReactNode } from 'react';
import { type Picture, urlOf } from '../history/picture-database.ts';

export interface Zoom {
  readonly scale: number;
  /** Position relative to the picture's centre, as fractions of its sides. */
  readonly x: number;
  readonly y: number;
}

export interface ZoomProps {
  readonly zoom: Zoom;
  readonly onZoom: (zoom: Zoom) => void;
}

/** Moved no further than the picture reaches. */
function within({ scale, x, y }: Zoom): Zoom {
  const most = (1 - 1 / scale) / 2;
  const clamp = (value: number): number => Math.min(most, Math.max(-most, value));
  return { scale, x: clamp(x), y: clamp(y) };
}

/** A box whose content is moved by dragging. */
export function ZoomBox({
  zoom,
  onZoom,
  ratio,
  children,
}: ZoomProps & { readonly ratio: number; readonly children: ReactNode }) {
  return (
    <div
      className="zoom-box"
      data-zoomed={zoom.scale > 1}
      style={{ aspectRatio: String(ratio), '--ratio': ratio } as React.CSSProperties}
      onPointerDown={(event) => zoom.scale > 1 && event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove={(event) => {
        if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
        const { width, height } = event.currentTarget.getBoundingClientRect();
        onZoom(
          within({
            ...zoom,
            x: zoom.x + event.movementX / width / zoom.scale,
            y: zoom.y + event.movementY / height / zoom.scale,
          }),
        );
      }}
    >
      {children}
    </div>
  );
}

export function ZoomImage({ picture, zoom }: { readonly picture: Picture; readonly zoom: Zoom }) {
  return (
    <img
      src={urlOf(picture.file)}
      alt={`${picture.settings.prompt || 'Picture'}, seed ${picture.settings.seed}`}
      draggable={false}
      style={{ transform: `scale(${zoom.scale}) translate(${zoom.x * 100}%, ${zoom.y * 100}%)` }}
    />
  );
}

export function ZoomedPicture({ picture, zoom, onZoom }: ZoomProps & { readonly picture: Picture }) {
  return (
    <ZoomBox zoom={zoom} onZoom={onZoom} ratio={picture.settings.width / picture.settings.height}>
      <ZoomImage picture={picture} zoom={zoom} />
    </ZoomBox>
  );
}
