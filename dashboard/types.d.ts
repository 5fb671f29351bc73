// What the modules of web/js take from elsewhere, for editors and for tsc --checkJs. The
// objects of the HTTP API are described in docs/http.md.

/** A user's id: a string, or a number where the host says so. */
type UserID = string | number;

interface User {
  id?: UserID;
  user_id?: UserID;
  email?: string | null;
  fullName?: string | null;
  display_name?: string;
  username?: string;
  pictureUrl?: string | null;
  avatar_url?: string;
  session_count?: number;
}

interface Place {
  countryCode?: string;
  country?: string;
  region?: string;
  city?: string;
}

interface Session {
  sessionId: string;
  userId: UserID;
  user?: User;
  ipAddress?: string | null;
  userAgent?: string;
  deviceType?: string;
  browser?: string | null;
  os?: string | null;
  device?: string | null;
  deviceFacts?: Record<string, string>;
  location?: Place | null;
  isActive?: boolean;
  lastActivity: string;
  loginAt: string;
  logoutAt: string | null;
  expiresAt?: string | null;
  endReason?: string | null;
  endedBy?: UserID | null;
  endedByName?: string | null;
  current?: boolean;
  client?: string;
  tenant?: string;
  actedBy?: string;
  authenticatedAt?: string | null;
  methods?: string[];
  lastSeen?: string | null;
  idleExpiresAt?: string | null;
  rememberMe?: boolean;
  derived?: boolean;
  addressSource?: string;
  deviceSource?: string;
  loginAddress?: string | null;
  ambiguous?: boolean;
}

/** A page of a list. */
interface Answer<Row> {
  data: Row[];
  next?: string | null;
  protected?: boolean;
}

interface Asking {
  signal?: AbortSignal;
  /** A timer asks, and nobody else. */
  timed?: boolean;
}

/** An event of the live stream. */
interface Happening {
  type: string;
  timestamp?: string;
  session?: Session;
  user?: User;
  stats?: any;
  reason?: string;
}

/** What stands in the page: Page hands it what happens. */
interface View {
  element: HTMLElement;
  start(): void;
  stop(): void;
  seen(): void;
  event(event: Happening): void;
  weeks?(history: any): void;
}

interface Event {
  /** What a CustomEvent carries. */
  readonly detail?: any;
}

interface Element {
  readonly dataset: DOMStringMap;
}

declare namespace Intl {
  interface Locale {
    getTextInfo?(): { direction: "ltr" | "rtl" };
    textInfo?: { direction: "ltr" | "rtl" };
  }
}
