#define GREETING "hello"

const char *greeting(void);
