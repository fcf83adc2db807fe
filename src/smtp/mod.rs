//! SMTP and LMTP: server and client machinery, data transparency.
