/** One picture over another, up to a line that is dragged. */

import { useState } from 'react';
import type { Picture } from '../history/picture-database.ts';
import { ZoomBox, ZoomImage, type ZoomProps } from './zoomed-picture.tsx';

export function Curtain({
  left,
  right,
  zoom,
  onZoom,
}: ZoomProps & { readonly left: Picture; readonly right: Picture }) {
  const [at, setAt] = useState(50);
  return (
    <div className="curtain" style={{ '--cut': `${at}%` } as React.CSSProperties}>
      <ZoomBox zoom={zoom} onZoom={onZoom} ratio={left.settings.width / left.settings.height}>
        <ZoomImage picture={right} zoom={zoom} />
        <div className="curtain-left">
          <ZoomImage picture={left} zoom={zoom} />
        </div>
        <div className="curtain-line" aria-hidden="true" />
      </ZoomBox>
      <input
        type="range"
        className="curtain-range"
        aria-label="Where the left picture ends"
        min={0}
        max={100}
        step={1}
        value={at}
        onChange={(event) => setAt(event.target.valueAsNumber)}
      />
    </div>
  );
}
