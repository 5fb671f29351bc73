// Warns before the session ends, and tells why it is over.
import { watchSession } from "/account/devices/session.js";

watchSession({ signIn: "/login?next=/app" });
