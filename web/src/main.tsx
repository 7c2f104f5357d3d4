/** Starts the page. */

import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './shell/app.tsx';
import { keepForOffline } from './shell/offline.ts';
import { applyTheme, rememberedTheme } from './shell/theme.ts';
import { studio } from './studio.ts';
import './style/index.css';

applyTheme(rememberedTheme());
const root = document.getElementById('root');
if (root)
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
void studio.start();
void keepForOffline();
