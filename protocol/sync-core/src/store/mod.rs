pub struct StoreSync;
