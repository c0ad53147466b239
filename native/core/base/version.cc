namespace paste {
const char* library_name() { return "paste-switch"; }
}
